package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

const activitiesSQL = `
SELECT ` + activityColumns + ` FROM incident_activity a
WHERE a.organization_id = ? AND a.identifier = ? AND a.sequence > ? ORDER BY a.sequence LIMIT ?`

const activitiesDescendingSQL = `
SELECT ` + activityColumns + ` FROM incident_activity a
WHERE a.organization_id = ? AND a.identifier = ? AND a.sequence < ? ORDER BY a.sequence DESC LIMIT ?`

// Activities implements [incident.ActivityStore].
func (s *Store) Activities(ctx context.Context, key incident.Key, aq incident.ActivityQuery) (incident.ActivityLog, error) {
	return read(ctx, s, "activities", snapshot, func(ctx context.Context, q session) (log incident.ActivityLog, err error) {
		found, err := queryOne(ctx, q, `SELECT version FROM incident WHERE organization_id = ? AND identifier = ?`,
			[]any{string(key.OrganizationID), key.Identifier}, integer(&log.Version))
		if err == nil && !found {
			err = incident.ErrNotFound
		}
		if err != nil {
			return log, err
		}
		statement, after := activitiesSQL, aq.After
		if aq.Descending {
			statement = activitiesDescendingSQL
			if after == 0 {
				after = maxInteger
			}
		}
		log.Activities, err = readActivities(ctx, q, key, statement, after, aq.Limit)
		return log, err
	})
}

func readActivities(ctx context.Context, q session, key incident.Key, statement string, args ...any) ([]incident.Activity, error) {
	all := []incident.Activity{}
	var a incident.Activity
	dest := scanActivity(&a)
	err := queryEach(ctx, q, statement, append([]any{string(key.OrganizationID), key.Identifier}, args...), func() {
		a.Incident = key
		all = append(all, a)
		a = incident.Activity{}
	}, dest...)
	return all, err
}

const activitySQL = `
SELECT ` + activityColumns + ` FROM incident_activity a
WHERE a.organization_id = ? AND a.identifier = ? AND a.sequence = ?`

// Activity implements [incident.ActivityStore].
func (s *Store) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	return read(ctx, s, "activity", ofOne, func(ctx context.Context, q session) (incident.Activity, error) {
		return readActivity(ctx, q, key, sequence)
	})
}

func readActivity(ctx context.Context, q session, key incident.Key, sequence int64) (incident.Activity, error) {
	all, err := readActivities(ctx, q, key, activitySQL, sequence)
	if err != nil {
		return incident.Activity{}, err
	}
	if len(all) == 0 {
		return incident.Activity{}, incident.ErrNotFound
	}
	return all[0], nil
}

const reviseSQL = `
UPDATE incident_activity SET comment = ?, date_edited = ?, date_deleted = ?, revision = ?
WHERE organization_id = ? AND identifier = ? AND sequence = ?`

// ReviseActivity implements [incident.ActivityStore].
func (s *Store) ReviseActivity(ctx context.Context, a incident.Activity) error {
	_, err := put(ctx, s, "revise activity", func(ctx context.Context, q session) (struct{}, error) {
		return struct{}{}, revise(ctx, q, &a)
	})
	return err
}

// touchSQL has the feed report an incident whose comments have changed.
const touchSQL = `UPDATE incident SET changed = ? WHERE organization_id = ? AND identifier = ?`

func revise(ctx context.Context, q session, a *incident.Activity) error {
	org, identifier := string(a.Incident.OrganizationID), a.Incident.Identifier
	var revision int64
	found, err := queryOne(ctx, q,
		`SELECT revision FROM incident_activity WHERE organization_id = ? AND identifier = ? AND sequence = ?`,
		[]any{org, identifier, a.Sequence}, integer(&revision))
	switch {
	case err != nil:
		return err
	case !found:
		return incident.ErrNotFound
	case revision != a.Revision-1:
		return incident.ErrVersionConflict
	}
	if _, err := q.exec(ctx, reviseSQL, a.Comment, optionalMicro(a.DateEdited), optionalMicro(a.DateDeleted), a.Revision,
		org, identifier, a.Sequence); err != nil {
		return err
	}
	number, err := nextTransaction(ctx, q)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, touchSQL, number, org, identifier)
	return err
}
