package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

const activitiesSQL = `
SELECT i.version, ` + activityColumns + `
FROM @incident i
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident_activity
	WHERE organization_id = $1 AND identifier = i.identifier AND sequence > ?
	ORDER BY sequence
	LIMIT ?
) a ON true
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY a.sequence`

const activitiesDescendingSQL = `
SELECT i.version, ` + activityColumns + `
FROM @incident i
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident_activity
	WHERE organization_id = $1 AND identifier = i.identifier AND (?::bigint = 0 OR sequence < ?)
	ORDER BY sequence DESC
	LIMIT ?
) a ON true
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY a.sequence DESC`

// Activities implements [incident.ActivityStore].
func (s *Store) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	st := s.statement(string(key.OrganizationID))
	if q.Descending {
		st.add(activitiesDescendingSQL, q.After, q.After, q.Limit, key.Identifier)
	} else {
		st.add(activitiesSQL, q.After, q.Limit, key.Identifier)
	}
	log, err := query(ctx, s, "activities", st, func(rows rowSet) (incident.ActivityLog, error) {
		return readActivities(rows, key)
	})
	if err == nil && log.Version == 0 {
		err = notFound("activities")
	}
	return log, err
}

// readActivities returns version 0 if there is no row: the incident does not exist. A row
// without an activity stands for an empty page.
func readActivities(rows rowSet, key incident.Key) (log incident.ActivityLog, err error) {
	log.Activities = []incident.Activity{}
	for rows.Next() {
		var a incident.Activity
		if err := rows.Scan(append([]any{integer(&log.Version)}, scanActivity(&a)...)...); err != nil {
			return log, err
		}
		if a.Sequence != 0 {
			a.Incident = key
			log.Activities = append(log.Activities, a)
		}
	}
	return log, nil
}

const activitySQL = `
SELECT 0::bigint, ` + activityColumns + `
FROM @incident_activity a
WHERE a.organization_id = $1 AND a.identifier = ? AND a.sequence = ?`

// Activity implements [incident.ActivityStore].
func (s *Store) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	a, err := repeating(ctx, s, func() (incident.Activity, error) { return s.activity(ctx, key, sequence) })
	return a, s.translate(ctx, "activity", err)
}

// activity is Activity without translated errors.
func (s *Store) activity(ctx context.Context, key incident.Key, sequence int64) (a incident.Activity, err error) {
	st := s.statement(string(key.OrganizationID)).add(activitySQL, key.Identifier, sequence)
	found, err := queryOnce(ctx, s, st, func(rows rowSet) (incident.ActivityLog, error) { return readActivities(rows, key) })
	if err != nil {
		return a, err
	}
	if len(found.Activities) == 0 {
		return a, incident.ErrNotFound
	}
	return found.Activities[0], nil
}

// reviseSQL locks the incident against deletion only. So a deletion skips the incident, instead of
// waiting for the activity.
const reviseSQL = `
WITH target AS (
	SELECT identifier
	FROM @incident
	WHERE organization_id = $1 AND identifier = ?
	FOR KEY SHARE
)
UPDATE @incident_activity a
SET comment = ?, date_edited = ?, date_deleted = ?, revision = ?, changed = DEFAULT
FROM target t
WHERE a.organization_id = $1 AND a.identifier = t.identifier AND a.sequence = ? AND a.revision = ?
RETURNING a.identifier`

// ReviseActivity implements [incident.ActivityStore].
func (s *Store) ReviseActivity(ctx context.Context, a incident.Activity) error {
	return s.write(ctx, "revise activity", func(s *Store, c *call) error {
		st := s.statement(counted{string(a.Incident.OrganizationID), c}).add(reviseSQL, a.Incident.Identifier,
			a.Comment, a.DateEdited, a.DateDeleted, a.Revision, a.Sequence, a.Revision-1)
		written, err := queryCounted(ctx, s, c, st, readIdentifier)
		if err != nil || written != 0 {
			return err
		}
		stored, err := s.activity(ctx, a.Incident, a.Sequence)
		switch {
		case err != nil:
			return err
		case c.lost() && isRevision(stored, a):
			return nil // this call wrote it
		}
		return incident.ErrVersionConflict
	})
}

func isRevision(stored, a incident.Activity) bool {
	return stored.Revision == a.Revision && stored.Comment == a.Comment &&
		equalTimes(stored.DateEdited, a.DateEdited) && equalTimes(stored.DateDeleted, a.DateDeleted)
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
