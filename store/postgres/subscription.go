package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// A repeated subscription keeps its row. The row is updated without a change, because
// RETURNING reports updated rows only.
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
	at, err := s.upsertDate(ctx, "subscribe", sub.Incident, subscribeSQL, sub.UserID, sub.DateAdded)
	if err != nil {
		return incident.Subscription{}, err
	}
	sub.DateAdded = at
	return sub, nil
}

const unsubscribeSQL = `
WITH gone AS (
	DELETE FROM @incident_subscription WHERE organization_id = $1 AND identifier = ? AND user_id = ?
)
SELECT identifier FROM @incident WHERE organization_id = $1 AND identifier = ?`

// Unsubscribe implements [incident.SubscriptionStore].
func (s *Store) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return s.write(ctx, "unsubscribe", func(s *Store, c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).
			add(unsubscribeSQL, key.Identifier, string(user), key.Identifier)
		found, err := queryCounted(ctx, s, c, st, readIdentifier)
		if err == nil && found == 0 {
			err = incident.ErrNotFound
		}
		return err
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
	return userDates(ctx, s, "subscribers", key, subscribersSQL, func(user incident.UserID, at time.Time) incident.Subscription {
		return incident.Subscription{Incident: key, UserID: user, DateAdded: at}
	})
}
