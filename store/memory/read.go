package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/incidentkit/incident"
)

// view runs fn on the incident of key, under the lock.
func (s *Store) view(ctx context.Context, key incident.Key, shares int64, fn func(r *record)) error {
	if err := s.acquire(ctx, shares); err != nil {
		return err
	}
	defer s.release(shares)
	_, r := s.record(key)
	if r == nil {
		return fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	fn(r)
	return nil
}

// Load implements [incident.IncidentStore].
func (s *Store) Load(ctx context.Context, key incident.Key) (state incident.State, err error) {
	err = s.view(ctx, key, reader, func(r *record) { state = r.state() })
	return state, err
}

// LoadSlot implements [incident.IncidentStore].
func (s *Store) LoadSlot(ctx context.Context, sl incident.Slot) (incident.SlotState, error) {
	if err := s.acquire(ctx, reader); err != nil {
		return incident.SlotState{}, err
	}
	defer s.release(reader)
	o := s.organizations[sl.OrganizationID]
	if o == nil {
		return incident.SlotState{}, nil
	}
	held := o.existingSlot(sl)
	if held == nil {
		return incident.SlotState{}, nil
	}
	if held.holder == 0 {
		return incident.SlotState{Version: held.version}, nil
	}
	state := o.get(held.holder).state()
	return incident.SlotState{Version: held.version, State: &state}, nil
}

// LoadDetails implements [incident.IncidentStore].
func (s *Store) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (d incident.Details, err error) {
	err = s.view(ctx, key, reader, func(r *record) {
		v := s.seenBy(key)
		_, seen := v.find(user)
		_, subscribed := r.subscribers.find(user)
		d = incident.Details{
			Incident:     r.incident.Clone(),
			Triggers:     slices.Clone(r.triggers),
			SeenBy:       v.latestFirst(key),
			HasSeen:      seen,
			IsSubscribed: subscribed,
		}
	})
	return d, err
}

// Activities implements [incident.ActivityStore].
func (s *Store) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (log incident.ActivityLog, err error) {
	err = s.view(ctx, key, reader, func(r *record) {
		log.Version = r.incident.Version
		last := int64(len(r.activities))
		step, next := int64(1), q.After+1
		if q.Descending {
			step, next = -1, min(q.After-1, last)
			if q.After == 0 {
				next = last
			}
		}
		size := last - next + 1
		if q.Descending {
			size = next
		}
		log.Activities = make([]incident.Activity, 0, max(0, min(size, int64(q.Limit))))
		for ; next >= 1 && next <= last && len(log.Activities) < q.Limit; next += step {
			log.Activities = append(log.Activities, r.activity(next))
		}
	})
	return log, err
}

// Activity implements [incident.ActivityStore].
func (s *Store) Activity(ctx context.Context, key incident.Key, sequence int64) (a incident.Activity, err error) {
	found := false
	err = s.view(ctx, key, reader, func(r *record) {
		if found = sequence >= 1 && sequence <= int64(len(r.activities)); found {
			a = r.activity(sequence)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	return a, err
}

// ReviseActivity implements [incident.ActivityStore].
func (s *Store) ReviseActivity(ctx context.Context, a incident.Activity) error {
	var refused error
	err := s.view(ctx, a.Incident, writer, func(r *record) {
		if a.Sequence < 1 || a.Sequence > int64(len(r.activities)) {
			refused = fmt.Errorf("memory: %w", incident.ErrNotFound)
			return
		}
		stored := &r.activities[a.Sequence-1]
		if stored.revision != a.Revision-1 {
			refused = fmt.Errorf("memory: %w", incident.ErrVersionConflict)
			return
		}
		before := *stored
		stored.comment, stored.revision = a.Comment, a.Revision
		stored.edited, stored.deleted = microOf(a.DateEdited), microOf(a.DateDeleted)
		s.undo(func() { r.activities[a.Sequence-1] = before })
	})
	return cmp.Or(err, refused)
}

// MarkSeen implements [incident.SeenStore].
func (s *Store) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	if err := s.acquire(ctx, writer); err != nil {
		return incident.Seen{}, err
	}
	defer s.release(writer)
	v := s.seenBy(seen.Incident)
	if v == nil {
		return incident.Seen{}, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	i, found := v.find(seen.UserID)
	switch {
	case !found:
		if v.users == nil {
			v.users = v.first[:0]
		}
		s.insertUser(&v.users, i, userDate{seen.UserID, seen.LastSeen})
	case v.users[i].date.Before(seen.LastSeen):
		s.redateUser(&v.users, i, seen.LastSeen)
	default:
		seen.LastSeen = v.users[i].date
	}
	return seen, nil
}

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	if err := s.acquire(ctx, reader); err != nil {
		return nil, err
	}
	defer s.release(reader)
	v := s.seenBy(key)
	if v == nil {
		return nil, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	return v.latestFirst(key), nil
}

func (v *views) latestFirst(key incident.Key) []incident.Seen {
	seen := make([]incident.Seen, 0, len(v.users))
	for _, u := range v.users {
		seen = append(seen, incident.Seen{Incident: key, UserID: u.user, LastSeen: u.date})
	}
	slices.SortFunc(seen, func(a, b incident.Seen) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.UserID, b.UserID))
	})
	return seen
}

// Subscribe implements [incident.SubscriptionStore].
func (s *Store) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	err := s.view(ctx, sub.Incident, writer, func(r *record) {
		sub.DateAdded = s.subscribe(r, sub.UserID, sub.DateAdded)
	})
	if err != nil {
		return incident.Subscription{}, err
	}
	return sub, nil
}

// Unsubscribe implements [incident.SubscriptionStore].
func (s *Store) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return s.view(ctx, key, writer, func(r *record) {
		if i, found := r.subscribers.find(user); found {
			s.deleteUser(&r.subscribers, i)
		}
	})
}

// Subscribers implements [incident.SubscriptionStore].
func (s *Store) Subscribers(ctx context.Context, key incident.Key) (subs []incident.Subscription, err error) {
	err = s.view(ctx, key, reader, func(r *record) {
		subs = make([]incident.Subscription, 0, len(r.subscribers))
		for _, u := range r.subscribers {
			subs = append(subs, incident.Subscription{Incident: key, UserID: u.user, DateAdded: u.date})
		}
	})
	return subs, err
}
