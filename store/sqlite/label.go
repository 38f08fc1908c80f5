package sqlite

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/incidentkit/incident"
)

// The table incident_label lists incidents by digests, of labels and of assignees. A digest is
// a whole SHA-256, so that the lists need not be checked by their fields.

// labelDigest returns the digest of a label.
func labelDigest(l incident.Label) []byte { return digest("label", l.Name, l.Value) }

// assigneeDigest returns the digest of an assignee.
func assigneeDigest(user incident.UserID) []byte { return digest("assignee", string(user)) }

// digest returns the SHA-256 of the parts, each after its length.
func digest(parts ...string) []byte {
	var text []byte
	for _, part := range parts {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// digestsOf returns the digests of labels, and of the assignee unless empty.
func digestsOf(labels []incident.Label, assignee incident.UserID) [][]byte {
	digests := make([][]byte, 0, len(labels)+1)
	for _, l := range labels {
		digests = append(digests, labelDigest(l))
	}
	if assignee != "" {
		digests = append(digests, assigneeDigest(assignee))
	}
	return digests
}
