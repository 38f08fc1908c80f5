package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

const markSeenSQL = `
INSERT INTO incident_seen (organization_id, identifier, user_id, last_seen) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)
RETURNING last_seen`

// MarkSeen implements [incident.SeenStore].
func (s *Store) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	at, err := s.putDate(ctx, "mark seen", markSeenSQL, seen.Incident, seen.UserID, seen.LastSeen)
	if err != nil {
		return incident.Seen{}, err
	}
	seen.LastSeen = at
	return seen, nil
}

const seenBySQL = `
SELECT user_id, last_seen FROM incident_seen WHERE organization_id = ? AND identifier = ? ORDER BY last_seen DESC, user_id`

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return read(ctx, s, "seen by", snapshot, func(ctx context.Context, q session) ([]incident.Seen, error) {
		all, err := seenBy(ctx, q, key)
		if err == nil && len(all) == 0 {
			err = mustExist(ctx, q, key)
		}
		return all, err
	})
}

func seenBy(ctx context.Context, q session, key incident.Key) ([]incident.Seen, error) {
	all := []incident.Seen{}
	row := incident.Seen{Incident: key}
	err := queryEach(ctx, q, seenBySQL, []any{string(key.OrganizationID), key.Identifier},
		func() { all = append(all, row) }, text(&row.UserID), instant(&row.LastSeen))
	return all, err
}

// putDate writes a date of a user at an incident, and returns the date in the table afterwards.
func (s *Store) putDate(
	ctx context.Context, op, statement string, key incident.Key, user incident.UserID, at time.Time,
) (time.Time, error) {
	return put(ctx, s, op, func(ctx context.Context, q session) (stored time.Time, err error) {
		if err := mustExist(ctx, q, key); err != nil {
			return stored, err
		}
		_, err = queryOne(ctx, q, statement,
			[]any{string(key.OrganizationID), key.Identifier, string(user), micro(at)}, instant(&stored))
		return stored, err
	})
}

// mustExist returns [incident.ErrNotFound] if there is no such incident.
func mustExist(ctx context.Context, q session, key incident.Key) error {
	var version int64
	found, err := queryOne(ctx, q, `SELECT version FROM incident WHERE organization_id = ? AND identifier = ?`,
		[]any{string(key.OrganizationID), key.Identifier}, integer(&version))
	if err == nil && !found {
		err = incident.ErrNotFound
	}
	return err
}
