package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

const markSeenSQL = `
INSERT INTO @incident_seen AS s (organization_id, identifier, user_id, last_seen)
SELECT $1, identifier, ?::text, ?::timestamptz
FROM @incident
WHERE organization_id = $1 AND identifier = ?
ON CONFLICT (organization_id, identifier, user_id) DO UPDATE
SET last_seen = greatest(s.last_seen, EXCLUDED.last_seen)
RETURNING last_seen`

// MarkSeen implements [incident.SeenStore].
func (s *Store) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	at, err := s.upsertDate(ctx, "mark seen", seen.Incident, markSeenSQL, seen.UserID, seen.LastSeen)
	if err != nil {
		return incident.Seen{}, err
	}
	seen.LastSeen = at
	return seen, nil
}

const seenBySQL = `
SELECT i.identifier, s.user_id, s.last_seen
FROM @incident i
LEFT JOIN @incident_seen s ON s.organization_id = $1 AND s.identifier = i.identifier
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY s.last_seen DESC, s.user_id`

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return userDates(ctx, s, "seen by", key, seenBySQL, func(user incident.UserID, at time.Time) incident.Seen {
		return incident.Seen{Incident: key, UserID: user, LastSeen: at}
	})
}
