package postgres

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// The table incident_label lists incidents by digests, of labels and of assignees. A list
// checks the incidents again by their fields, so that two values with the same digest do
// no harm.

// labelDigest returns the digest of a label.
func labelDigest(l incident.Label) string { return digest("label", l.Name, l.Value) }

// assigneeDigest returns the digest of an assignee.
func assigneeDigest(user incident.UserID) string { return digest("assignee", string(user)) }

// digest returns the first half of the SHA-256 of the parts, each after its length.
func digest(parts ...string) string {
	var text []byte
	for _, part := range parts {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return uuid.UUID(sum[:16]).String()
}

// digestsOf returns the digests of labels, and of the assignee unless empty.
func digestsOf(labels []incident.Label, assignee incident.UserID) pq.StringArray {
	n := len(labels)
	if assignee != "" {
		n++
	}
	digests := make(pq.StringArray, 0, n)
	for _, l := range labels {
		digests = append(digests, labelDigest(l))
	}
	if assignee != "" {
		digests = append(digests, assigneeDigest(assignee))
	}
	return digests
}

const labelSQL = `, labelled AS (
	INSERT INTO @incident_label (organization_id, digest, date_started, identifier)
	SELECT $1::text, l.digest, ?::timestamptz, t.identifier
	FROM target t, unnest(?::uuid[]) AS l (digest)
	ON CONFLICT DO NOTHING
)`

const unlabelSQL = `, unlabelled AS (
	DELETE FROM @incident_label l
	USING target t
	WHERE l.organization_id = $1 AND l.digest = ANY (?::uuid[]) AND l.date_started = ? AND l.identifier = t.identifier
)`
