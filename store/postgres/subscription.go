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
	at, err := s.upsert(ctx, "mark seen", seen.Incident, markSeenSQL, seen.UserID, seen.LastSeen)
	if err != nil {
		return incident.Seen{}, err
	}
	seen.LastSeen = at
	return seen, nil
}

// A user who follows already keeps the row. It is written again, as it is, because
// only what is written is returned.
const subscribeSQL = `
INSERT INTO @incident_subscription AS s (organization_id, identifier, user_id, date_added)
SELECT $1, identifier, ?::text, ?::timestamptz
FROM @incident
WHERE organization_id = $1 AND identifier = ?
ON CONFLICT (organization_id, identifier, user_id) DO UPDATE
SET date_added = s.date_added
RETURNING date_added`

// Subscribe implements [incident.SubscriptionStore].
func (s *Store) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	at, err := s.upsert(ctx, "subscribe", sub.Incident, subscribeSQL, sub.UserID, sub.DateAdded)
	if err != nil {
		return incident.Subscription{}, err
	}
	sub.DateAdded = at
	return sub, nil
}

// upsert stores a date of a user at an incident, and returns the one that is
// stored then. The second time it does nothing.
func (s *Store) upsert(
	ctx context.Context, op string, key incident.Key, text string, user incident.UserID, at time.Time,
) (stored time.Time, err error) {
	err = s.write(ctx, op, func(ctx context.Context, c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).add(text, string(user), at, key.Identifier)
		stored, err = askWrite(ctx, s, c, st, func(rows rowSet) (at time.Time, err error) {
			err = each(rows, func() {}, instant(&at))
			return at, err
		})
		if err == nil && stored.IsZero() {
			err = incident.ErrNotFound
		}
		return err
	})
	return stored, err
}

const unsubscribeSQL = `
WITH gone AS (
	DELETE FROM @incident_subscription WHERE organization_id = $1 AND identifier = ? AND user_id = ?
)
SELECT identifier FROM @incident WHERE organization_id = $1 AND identifier = ?`

// Unsubscribe implements [incident.SubscriptionStore].
func (s *Store) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return s.write(ctx, "unsubscribe", func(ctx context.Context, c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).
			add(unsubscribeSQL, key.Identifier, string(user), key.Identifier)
		found, err := askWrite(ctx, s, c, st, readIdentifier)
		if err == nil && found == 0 {
			err = incident.ErrNotFound
		}
		return err
	})
}

// readIdentifier reads an identifier, or 0 where there is no row.
func readIdentifier(rows rowSet) (n int64, err error) {
	err = each(rows, func() {}, integer(&n))
	return n, err
}

const seenBySQL = `
SELECT i.identifier, s.user_id, s.last_seen
FROM @incident i
LEFT JOIN @incident_seen s ON s.organization_id = $1 AND s.identifier = i.identifier
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY s.last_seen DESC, s.user_id`

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return usersOf(ctx, s, "seen by", key, seenBySQL, func(user incident.UserID, at time.Time) incident.Seen {
		return incident.Seen{Incident: key, UserID: user, LastSeen: at}
	})
}

const subscribersSQL = `
SELECT i.identifier, s.user_id, s.date_added
FROM @incident i
LEFT JOIN @incident_subscription s ON s.organization_id = $1 AND s.identifier = i.identifier
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY s.user_id`

// Subscribers implements [incident.SubscriptionStore].
func (s *Store) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	return usersOf(ctx, s, "subscribers", key, subscribersSQL, func(user incident.UserID, at time.Time) incident.Subscription {
		return incident.Subscription{Incident: key, UserID: user, DateAdded: at}
	})
}

// usersOf reads users with a date each. A row without a user is that of an
// incident which has none, and no row is no incident.
func usersOf[T any](
	ctx context.Context, s *Store, op string, key incident.Key, text string, model func(incident.UserID, time.Time) T,
) ([]T, error) {
	st := s.statement(string(key.OrganizationID)).add(text, key.Identifier)
	all, err := query(ctx, s, op, st, func(rows rowSet) (all []T, err error) { return readUsers(rows, model) })
	if err == nil && all == nil {
		err = notFound(op)
	}
	return all, err
}

func readUsers[T any](rows rowSet, model func(incident.UserID, time.Time) T) (all []T, err error) {
	var identifier int64
	var user incident.UserID
	var at time.Time
	err = each(rows, func() {
		if all == nil {
			all = []T{}
		}
		if user != "" {
			all = append(all, model(user, at))
		}
	}, integer(&identifier), text(&user), instant(&at))
	return all, err
}
