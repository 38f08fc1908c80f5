package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// wrapped carries a fault into transactions.
func wrapped(ctx context.Context, s incident.Store, wrap func(incident.Store) incident.Store, fn func(incident.Store) error) error {
	return s.InTx(ctx, func(tx incident.Store) error { return fn(wrap(tx)) })
}

// changing returns a store that tampers with changes.
func changing(tamper func(c *incident.Change)) func(incident.Store) incident.Store {
	return func(s incident.Store) incident.Store { return &changingStore{Store: s, tamper: tamper} }
}

type changingStore struct {
	incident.Store
	tamper func(c *incident.Change)
}

func (s *changingStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	s.tamper(&c)
	return s.Store.Apply(ctx, c)
}

func (s *changingStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return wrapped(ctx, s.Store, changing(s.tamper), fn)
}

func forgetDetection(c *incident.Change) {
	if c.Incident != nil {
		c.Incident.DetectionUUID = uuid.Nil
	}
}

func forgetNotification(c *incident.Change) {
	for i := range c.Activities {
		c.Activities[i].NotificationUUID = uuid.New()
	}
}

// keepsClosed keeps DateClosed when an incident is reopened.
type keepsClosed struct {
	incident.Store
	closed *time.Time
}

func (s *keepsClosed) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if c.Incident != nil && c.Key.Identifier != 0 && c.Incident.DateClosed == nil {
		c.Incident.DateClosed = s.closed
	} else if c.Incident != nil {
		s.closed = c.Incident.DateClosed
	}
	return s.Store.Apply(ctx, c)
}

// staleSlots returns the previous state of a slot.
type staleSlots struct {
	incident.Store
	mu   sync.Mutex // guards last
	last map[incident.Slot]incident.SlotState
}

func (s *staleSlots) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	held, err := s.Store.LoadSlot(ctx, slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[incident.Slot]incident.SlotState{}
	}
	before, known := s.last[slot]
	if err == nil {
		s.last[slot] = held
	}
	if known && before.Version < held.Version {
		return before, err
	}
	return held, err
}

// leakyStore reads from another organization if an incident is not found.
type leakyStore struct{ incident.Store }

func (s *leakyStore) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	d, err := s.Store.LoadDetails(ctx, key, user)
	if errors.Is(err, incident.ErrNotFound) {
		return s.Store.LoadDetails(ctx, incident.Key{OrganizationID: orgs[0], Identifier: key.Identifier}, user)
	}
	return d, err
}

// sharingStore keeps the values that it returns.
type sharingStore struct {
	incident.Store
	kept map[string]incident.Details
}

func (s *sharingStore) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	d, err := s.Store.LoadDetails(ctx, key, user)
	if err != nil {
		return d, err
	}
	if s.kept == nil {
		s.kept = map[string]incident.Details{}
	}
	name := fmt.Sprint(key, user, d.Version, len(d.SeenBy), d.HasSeen, d.IsSubscribed)
	if kept, ok := s.kept[name]; ok {
		d.Projects = kept.Projects
	}
	s.kept[name] = d
	return d, nil
}

// datedStore orders activities by their dates.
type datedStore struct{ incident.Store }

func (s *datedStore) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	all, err := s.Store.Activities(ctx, key, q)
	slices.SortStableFunc(all.Activities, func(a, b incident.Activity) int { return a.DateAdded.Compare(b.DateAdded) })
	return all, err
}

// tiedStore continues pages by the date alone.
type tiedStore struct{ incident.Store }

func (s *tiedStore) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	if q.After != nil && !q.Reverse {
		q.After = &incident.Position{DateStarted: q.After.DateStarted}
	}
	return s.Store.Incidents(ctx, q)
}

// openStore treats access to no project as access to all.
type openStore struct{ incident.Store }

func (s *openStore) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	if q.Access != nil && len(q.Access.Projects) == 0 {
		q.Access = nil
	}
	return s.Store.Incidents(ctx, q)
}

// fineStore returns times with nanoseconds.
type fineStore struct{ incident.Store }

func (s *fineStore) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	subs, err := s.Store.Subscribers(ctx, key)
	for i := range subs {
		subs[i].DateAdded = subs[i].DateAdded.Add(1)
	}
	return subs, err
}

// noRollback commits each write of a transaction immediately.
type noRollback struct{ incident.Store }

func (s *noRollback) InTx(_ context.Context, fn func(tx incident.Store) error) error { return fn(s) }

// lateErrors sometimes returns ErrUnavailable after a successful write.
type lateErrors struct {
	incident.Store
	calls int
}

func (s *lateErrors) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	sub, err := s.Store.Subscribe(ctx, sub)
	if s.calls++; s.calls%3 == 0 {
		err = cmp.Or(err, incident.ErrUnavailable)
	}
	return sub, err
}

// unversionedStore ignores ExpectVersion.
type unversionedStore struct{ incident.Store }

func (s *unversionedStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	for {
		applied, err := s.Store.Apply(ctx, c)
		if c.Incident == nil || !errors.Is(err, incident.ErrVersionConflict) {
			return applied, err
		}
		state, err := s.Load(ctx, c.Key)
		if err != nil {
			return applied, err
		}
		c.ExpectVersion, c.Incident.Version = state.Incident.Version, state.Incident.Version+1
	}
}

func (s *unversionedStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return wrapped(ctx, s.Store, func(tx incident.Store) incident.Store { return &unversionedStore{tx} }, fn)
}
