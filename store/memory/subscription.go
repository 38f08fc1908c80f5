package memory

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// Subscribe implements [incident.SubscriptionStore].
func (s *Store) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	err := s.withRecord(ctx, sub.Incident, write, func(r *record) {
		sub.DateAdded = s.subscribe(r, sub.UserID, sub.DateAdded)
	})
	if err != nil {
		return incident.Subscription{}, err
	}
	return sub, nil
}

// Unsubscribe implements [incident.SubscriptionStore].
func (s *Store) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return s.withRecord(ctx, key, write, func(r *record) {
		if i, found := r.subscribers.find(user); found {
			s.deleteUser(&r.subscribers, i)
		}
	})
}

// Subscribers implements [incident.SubscriptionStore].
func (s *Store) Subscribers(ctx context.Context, key incident.Key) (subs []incident.Subscription, err error) {
	err = s.withRecord(ctx, key, scan, func(r *record) {
		subs = make([]incident.Subscription, 0, len(r.subscribers))
		for _, u := range r.subscribers {
			subs = append(subs, incident.Subscription{Incident: key, UserID: u.user, DateAdded: u.date})
		}
	})
	return subs, err
}

// subscribe adds the user unless already subscribed, and returns the stored date.
func (s *Store) subscribe(r *record, user incident.UserID, added time.Time) time.Time {
	i, found := r.subscribers.find(user)
	if found {
		return r.subscribers[i].date
	}
	s.insertUser(&r.subscribers, i, userDate{user, added})
	return added
}
