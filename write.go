package incident

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// maxConflicts bounds how often a write is decided anew because writers of
// other processes were faster each time.
const maxConflicts = 16

// decision is what a rule made of a state: the state after it, and what is
// appended. A zero before means a new incident.
type decision struct {
	before, after State
	activities    []Activity
	subscriptions []Subscription
}

func unchanged(s State) decision { return decision{before: s, after: s} }

// follow is what to append so that users follow the incident.
func follow(key Key, users []UserID, added time.Time) []Subscription {
	subs := make([]Subscription, len(users))
	for i, u := range users {
		subs[i] = Subscription{Incident: key, UserID: u, DateAdded: added}
	}
	return subs
}

// writing is a write that is decided on a state.
type writing struct {
	// load returns the state, which is shared, and whether it is fresh: read from
	// the store within this call. It must be if that is asked.
	load func(ctx context.Context, fresh bool) (s State, isFresh bool, err error)

	// decide applies a rule. It is pure, and must not change the state.
	decide func(State) (decision, error)

	// queue is where writers that make a new incident wait for each other. Others
	// wait at the incident.
	queue string

	// rejoins means to begin again when a slot was taken by another incident.
	rejoins bool
}

// write loads, decides and commits. What would change nothing, and what is
// refused, is decided on a fresh state; it takes no turn in a queue. When
// another writer was faster, write begins again.
func (m *manager) write(ctx context.Context, w writing) (Result, error) {
	t := turn{queues: &m.queues}
	defer t.leave()
	var names notifications
	conflicts, anew := 0, false
	for {
		state, fresh, err := w.load(ctx, anew)
		if err != nil {
			return Result{}, err
		}
		d, refusal := w.decide(state)
		c, after := changeOf(d)
		if refusal != nil || c.empty() {
			if fresh {
				return Result{Incident: state.Incident.Clone()}, refusal
			}
			anew = true
			continue
		}
		waited, err := m.queue(ctx, &t, w.queue, c.Key)
		if err != nil {
			return Result{}, err
		}
		if waited {
			anew = false // who was at work has published
			continue
		}
		if c.Subscriptions, err = m.admitted(ctx, after.Incident, c.Subscriptions); err != nil {
			return Result{}, err
		}
		names.name(c.Activities)
		r, err := m.commit(ctx, c, after)
		if conflicts++; err == nil || conflicts == maxConflicts || !m.again(err, w.rejoins) {
			return r, err
		}
		anew = true
	}
}

// queue waits for the turn at the incident or, for a new one, where all do who
// could make it. A transaction has its own order; waiting for others within it
// could make them wait for each other.
func (m *manager) queue(ctx context.Context, t *turn, whereNew string, key Key) (waited bool, err error) {
	if m.tx != nil {
		return false, nil
	}
	if key.Identifier == 0 {
		return t.take(ctx, whereNew)
	}
	return t.take(ctx, key.cacheKey())
}

// again reports whether err means that another writer was faster.
func (m *manager) again(err error, rejoins bool) bool {
	if errors.Is(err, ErrVersionConflict) {
		return true
	}
	var taken *ConflictError
	return rejoins && m.tx == nil && errors.As(err, &taken)
}

// commit applies a change of the incident's row and publishes what it made.
func (m *manager) commit(ctx context.Context, c Change, after State) (Result, error) {
	p, done := m.publication(ctx)
	defer done()
	if c.Key.Identifier != 0 {
		p.mark(c.Key.cacheKey())
	}
	for _, slots := range [][]Slot{c.Claim, c.Release} {
		for _, s := range slots {
			p.mark(s.cacheKey())
		}
	}
	applied, err := m.apply(ctx, c)
	if m.tx == nil {
		p.doubtful = errors.Is(err, ErrUnknownOutcome)
	}
	if err != nil {
		return Result{}, err
	}
	if applied.Replayed {
		return Result{Incident: applied.Incident}, nil
	}
	after.Incident = applied.Incident
	for i := range after.Triggers {
		after.Triggers[i].Incident = after.Incident.Key()
	}
	p.addState(after, m.options.IncidentTTL)
	p.addSlots(c, applied, m.options.ActiveTTL)
	return Result{Incident: after.Incident.Clone(), Changed: true}, nil
}

// apply hands a change to the store. An answer to another call than this one,
// whose NotificationUUID was taken again, is a conflict.
func (m *manager) apply(ctx context.Context, c Change) (Applied, error) {
	applied, err := m.store.Apply(ctx, c)
	if err != nil {
		return Applied{}, m.failed(err)
	}
	if applied.Replayed && len(applied.Activities) > 0 && applied.Activities[0].Type != c.Activities[0].Type {
		return Applied{}, fmt.Errorf("%w: the notification UUID is that of another activity; use a new one", ErrConflict)
	}
	return applied, nil
}

// failed notes a failed write in the transaction, which must not be committed
// then. The errors of a write that found nothing to write do not count.
func (m *manager) failed(err error) error {
	if m.tx != nil && err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrVersionConflict) {
		m.tx.failure = err
	}
	return err
}

// notifications are the NotificationUUIDs of one call. They are the same
// whenever it is decided anew, so that a store knows it again.
type notifications struct{ ids []uuid.UUID }

// name gives UUIDs to the activities that have none. They are of version 7 and in
// ascending order, so that an index on them grows at its end.
func (n *notifications) name(activities []Activity) {
	for i := range activities {
		if activities[i].NotificationUUID != uuid.Nil {
			continue
		}
		for len(n.ids) <= i {
			n.ids = append(n.ids, n.next())
		}
		activities[i].NotificationUUID = n.ids[i]
	}
}

func (n *notifications) next() uuid.UUID {
	if len(n.ids) == 0 {
		return uuid.Must(uuid.NewV7()) // fails only without the system's randomness, which ends the process before
	}
	id := n.ids[len(n.ids)-1]
	tail := id[8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)+1)
	return id
}
