package postgres

import (
	"context"
	"crypto/sha256"
	"slices"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// The table incident_active lists the active incidents of each project, label and assignee, by start.
// A project, a label or an assignee has a digest there. Among all active incidents those of a project
// may be rare, and among all incidents of a project the active. A list looks up the status of each row
// in incident: if the table had it, each change of a status would replace all rows of the incident.
//
// A library before schema version 5 writes neither the table nor incident.listed, the version that
// the table lists. An incident that such a library was the last to write is outdated: the table may
// lack rows of it, and have rows that it must not have. Therefore:
//
//   - A list skips the rows of incidents that are outdated, closed or deleted. It reads the outdated
//     active incidents by the index incident_outdated, which is empty unless such a library writes.
//   - Before this library writes an outdated incident, it deletes all rows of the incident.

// outdatedSQL is the condition of outdated incidents.
const outdatedSQL = `listed IS DISTINCT FROM CASE WHEN status <> 2 THEN version END`

// outdatedActiveSQL is the condition of incident_outdated.
const outdatedActiveSQL = `CASE WHEN status <> 2 AND listed IS DISTINCT FROM version THEN 1 ELSE 0 END = 1`

// listedSQL is the condition of incidents that incident_active lists as they are. These are active.
const listedSQL = `listed = version`

// listingSQL is the listing of a row: its status, or its negative if the incident is outdated.
const listingSQL = `CASE WHEN ` + outdatedSQL + ` THEN -status ELSE status END`

// projectDigest returns the digest of a project. It differs from those of labels and assignees, because
// these begin with a length.
func projectDigest(p incident.ProjectID) string {
	sum := sha256.Sum256([]byte("project:" + string(p)))
	return uuid.UUID(sum[:16]).String()
}

// activeDigestsOf returns the digests under which incident_active lists an active incident.
func activeDigestsOf(inc *incident.Incident) pq.StringArray {
	return append(projectDigestsOf(inc.Projects), digestsOfIncident(inc)...)
}

func projectDigestsOf(projects []incident.ProjectID) pq.StringArray {
	digests := make(pq.StringArray, 0, len(projects))
	for _, p := range projects {
		digests = append(digests, projectDigest(p))
	}
	return digests
}

// listedVersion returns the value of incident.listed.
func listedVersion(inc *incident.Incident) any {
	if inc.Status.Active() {
		return inc.Version
	}
	return nil
}

// relist are the differences of incident_active between before and after a change, as digests.
type relist struct{ remove, add pq.StringArray }

func (r relist) isEmpty() bool { return len(r.remove)+len(r.add) == 0 }

// relistFrom returns the differences of incident_active for an incident that has the given place
// before the change. An outdated incident has no rows.
func (w *writing) relistFrom(before place) (r relist) {
	isNew, isActive := w.Key.Identifier == 0, w.Incident.Status.Active()
	wasListed := !isNew && !before.isOutdated() && before.status().Active()
	if wasListed && isActive && before.started.Equal(w.Incident.DateStarted) {
		return relist{
			remove: append(projectDigestsOf(w.Unlink), w.unlabel...),
			add:    append(projectDigestsOf(w.Link), w.label...),
		}
	}
	if isActive {
		r.add = activeDigestsOf(w.Incident)
	}
	if wasListed {
		r.remove = w.digestsBefore(before)
	}
	return r
}

// digestsBefore returns the digests of the incident before the change.
func (w *writing) digestsBefore(before place) pq.StringArray {
	digests := make(pq.StringArray, 0, len(w.Incident.Projects)+len(w.Unlink)+len(w.Incident.Labels)+len(w.RemoveLabels)+1)
	for _, p := range w.Incident.Projects {
		if !slices.Contains(w.Link, p) {
			digests = append(digests, projectDigest(p))
		}
	}
	digests = append(digests, projectDigestsOf(w.Unlink)...)
	for name, value := range w.Incident.Labels {
		if l := (incident.Label{Name: name, Value: value}); !slices.Contains(w.AddLabels, l) {
			digests = append(digests, labelDigest(l))
		}
	}
	return append(digests, digestsOf(w.RemoveLabels, before.assignee)...)
}

// delistSQL hides its values from the planner, which would plan each call for the number of digests.
const delistSQL = `, delisted AS (
	DELETE FROM @incident_active a
	USING target t
	WHERE a.organization_id = $1 AND a.digest = ANY ((SELECT ?::uuid[])::uuid[]) AND a.date_started = (SELECT ?::timestamptz)
		AND a.identifier = t.identifier
)`

const listSQL = `, listed AS (
	INSERT INTO @incident_active (organization_id, digest, date_started, identifier)
	SELECT $1::text, d.digest, ?::timestamptz, t.identifier
	FROM target t, unnest(?::uuid[]) AS d (digest)
	ON CONFLICT DO NOTHING
)`

// addRelisting writes the differences of incident_active. A new incident leaves no list.
func addRelisting(st *statement, w *writing) {
	st.add(listSQL, w.Incident.DateStarted, w.relist.add)
	if w.Key.Identifier != 0 {
		st.add(delistSQL, w.relist.remove, w.before.started)
	}
}

// delistOutdatedSQL deletes all rows of outdated incidents. It reads all rows of incident_active. The
// lock keeps others from listing an incident meanwhile.
const delistOutdatedSQL = `
DELETE FROM @incident_active
WHERE organization_id = $1 AND identifier = ANY (ARRAY(
	SELECT identifier
	FROM @incident
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND ` + outdatedSQL + `
	FOR NO KEY UPDATE
))`

// delistOutdated deletes all rows of those incidents that are outdated.
func (s *Store) delistOutdated(ctx context.Context, org incident.OrganizationID, identifiers ...int64) error {
	return s.exec(ctx, s.statement(string(org)).add(delistOutdatedSQL, pq.Int64Array(identifiers)))
}

const findOutdatedSQL = `
SELECT identifier
FROM @incident
WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND ` + outdatedSQL + `
ORDER BY identifier
LIMIT 1`

// hasOutdated reports whether any of the incidents is outdated.
func (s *Store) hasOutdated(ctx context.Context, org incident.OrganizationID, identifiers []int64) (bool, error) {
	st := s.statement(string(org)).add(findOutdatedSQL, pq.Int64Array(identifiers))
	found, err := queryOnce(ctx, s, st, readIdentifier)
	return found != 0, err
}

// delistAny deletes all rows of those incidents that are outdated. It reads incident_active only if there
// are any.
func (s *Store) delistAny(ctx context.Context, org incident.OrganizationID, identifiers []int64) error {
	outdated, err := s.hasOutdated(ctx, org, identifiers)
	if err != nil || !outdated {
		return err
	}
	return s.delistOutdated(ctx, org, identifiers...)
}
