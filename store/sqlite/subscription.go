package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// A repeated subscription keeps its row. The row is updated without a change, because RETURNING
// reports updated rows only.
const subscribeSQL = `
INSERT INTO incident_subscription (organization_id, identifier, user_id, date_added) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET date_added = date_added
RETURNING date_added`

// Subscribe implements [incident.SubscriptionStore].
func (s *Store) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	at, err := s.putDate(ctx, "subscribe", subscribeSQL, sub.Incident, sub.UserID, sub.DateAdded)
	if err != nil {
		return incident.Subscription{}, err
	}
	sub.DateAdded = at
	return sub, nil
}

const unsubscribeSQL = `
DELETE FROM incident_subscription WHERE organization_id = ? AND identifier = ? AND user_id = ?`

// Unsubscribe implements [incident.SubscriptionStore].
func (s *Store) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	_, err := put(ctx, s, "unsubscribe", func(ctx context.Context, q session) (struct{}, error) {
		if err := mustExist(ctx, q, key); err != nil {
			return struct{}{}, err
		}
		_, err := q.exec(ctx, unsubscribeSQL, string(key.OrganizationID), key.Identifier, string(user))
		return struct{}{}, err
	})
	return err
}

const subscribersSQL = `
SELECT user_id, date_added FROM incident_subscription WHERE organization_id = ? AND identifier = ? ORDER BY user_id`

// Subscribers implements [incident.SubscriptionStore].
func (s *Store) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	return read(ctx, s, "subscribers", snapshot, func(ctx context.Context, q session) ([]incident.Subscription, error) {
		all := []incident.Subscription{}
		row := incident.Subscription{Incident: key}
		err := queryEach(ctx, q, subscribersSQL, []any{string(key.OrganizationID), key.Identifier},
			func() { all = append(all, row) }, text(&row.UserID), instant(&row.DateAdded))
		if err == nil && len(all) == 0 {
			err = mustExist(ctx, q, key)
		}
		return all, err
	})
}
