package storetest

import (
	"context"
	"slices"
	"sync"

	"github.com/incidentkit/incident"
)

// broken is a store with some methods replaced. Its transactions are those of the store
// underneath unless inTx is set.
type broken struct {
	incident.Store

	load        func(ctx context.Context, key incident.Key) (incident.State, error)
	loadSlot    func(ctx context.Context, slot incident.Slot) (incident.SlotState, error)
	loadDetails func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error)
	incidents   func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error)
	count       func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error)
	apply       func(ctx context.Context, c incident.Change) (incident.Applied, error)
	activities  func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error)
	activity    func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error)
	revise      func(ctx context.Context, a incident.Activity) error
	markSeen    func(ctx context.Context, seen incident.Seen) (incident.Seen, error)
	seenBy      func(ctx context.Context, key incident.Key) ([]incident.Seen, error)
	subscribe   func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error)
	unsubscribe func(ctx context.Context, key incident.Key, user incident.UserID) error
	subscribers func(ctx context.Context, key incident.Key) ([]incident.Subscription, error)
	inTx        func(ctx context.Context, fn func(tx incident.Store) error) error
	shared      func() bool
}

func (b *broken) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.Store.Load(ctx, key)
}

func (b *broken) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	if b.loadSlot != nil {
		return b.loadSlot(ctx, slot)
	}
	return b.Store.LoadSlot(ctx, slot)
}

func (b *broken) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	if b.loadDetails != nil {
		return b.loadDetails(ctx, key, user)
	}
	return b.Store.LoadDetails(ctx, key, user)
}

func (b *broken) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	if b.incidents != nil {
		return b.incidents(ctx, q)
	}
	return b.Store.Incidents(ctx, q)
}

func (b *broken) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	if b.count != nil {
		return b.count(ctx, q)
	}
	return b.Store.CountIncidents(ctx, q)
}

func (b *broken) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if b.apply != nil {
		return b.apply(ctx, c)
	}
	return b.Store.Apply(ctx, c)
}

func (b *broken) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	if b.activities != nil {
		return b.activities(ctx, key, q)
	}
	return b.Store.Activities(ctx, key, q)
}

func (b *broken) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	if b.activity != nil {
		return b.activity(ctx, key, sequence)
	}
	return b.Store.Activity(ctx, key, sequence)
}

func (b *broken) ReviseActivity(ctx context.Context, a incident.Activity) error {
	if b.revise != nil {
		return b.revise(ctx, a)
	}
	return b.Store.ReviseActivity(ctx, a)
}

func (b *broken) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	if b.markSeen != nil {
		return b.markSeen(ctx, seen)
	}
	return b.Store.MarkSeen(ctx, seen)
}

func (b *broken) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	if b.seenBy != nil {
		return b.seenBy(ctx, key)
	}
	return b.Store.SeenBy(ctx, key)
}

func (b *broken) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	if b.subscribe != nil {
		return b.subscribe(ctx, sub)
	}
	return b.Store.Subscribe(ctx, sub)
}

func (b *broken) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	if b.unsubscribe != nil {
		return b.unsubscribe(ctx, key, user)
	}
	return b.Store.Unsubscribe(ctx, key, user)
}

func (b *broken) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	if b.subscribers != nil {
		return b.subscribers(ctx, key)
	}
	return b.Store.Subscribers(ctx, key)
}

func (b *broken) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if b.inTx != nil {
		return b.inTx(ctx, fn)
	}
	return b.Store.InTx(ctx, fn)
}

func (b *broken) Shared() bool {
	if b.shared != nil {
		return b.shared()
	}
	return b.Store.Shared()
}

// registry is a concurrent map of the values that a fault remembers.
type registry[K comparable, V any] struct {
	mu     sync.Mutex // guards values
	values map[K]V
}

func (r *registry[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.values[key]
	return v, ok
}

// put returns the value before.
func (r *registry[K, V]) put(key K, value V) V {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = map[K]V{}
	}
	before := r.values[key]
	r.values[key] = value
	return before
}

// allOf returns the matches on all pages, the latest started first.
func allOf(ctx context.Context, s incident.Store, q incident.IncidentQuery) ([]incident.Incident, error) {
	var all []incident.Incident
	q.After, q.Reverse, q.Limit = nil, false, everything
	for {
		page, err := s.Incidents(ctx, q)
		all = append(all, page...)
		if err != nil || len(page) < q.Limit {
			return all, err
		}
		q.After = positionOf(page[len(page)-1])
	}
}

// pageOf cuts the page of q out of all matches.
func pageOf(all []incident.Incident, q incident.IncidentQuery) []incident.Incident {
	var page []incident.Incident
	for _, inc := range all {
		switch {
		case q.After == nil,
			!q.Reverse && isAfter(inc, *q.After),
			q.Reverse && !isAfter(inc, *q.After) && *positionOf(inc) != *q.After:
			page = append(page, inc)
		}
	}
	if q.Reverse {
		slices.Reverse(page)
	}
	return page[:min(len(page), q.Limit)]
}
