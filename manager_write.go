package incident

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/incidentkit/incident/internal/coherence"
	"github.com/incidentkit/incident/internal/uuid7"
)

const (
	// patience is how often a write may lose against writers of other processes before
	// it takes its turn among them in a transaction, in which the store lets it be the
	// only one.
	patience = 4

	// maxConflicts bounds how often it is decided.
	maxConflicts = 16
)

// target is what a write is about: the incident of a key or, where key is zero, the
// active one of a slot.
type target struct {
	key  Key
	slot Slot

	// rejoins means to begin again when the slot was taken by another incident.
	rejoins bool
}

// turnOf returns whose turn a write takes: that of the incident or, before it exists, that of
// the slot that it would occupy.
func (t *target) turnOf(written Key) subject {
	if written.Identifier == 0 {
		return subject{slot: t.slot}
	}
	return subject{key: written}
}

// write loads, decides and commits. decide applies a rule: it is pure, and must not
// change the state. What would change nothing, and what is refused, is decided on
// a fresh state; it takes no turn in a queue. When another writer was faster, write
// begins again.
func (m *manager) write(ctx context.Context, where *target, decide func(*State) (decision, error)) (Result, error) {
	turn := m.turns.Turn()
	defer turn.Leave()
	ids := m.uuids.Series()
	conflicts, anew := 0, false
	for {
		state, fresh, err := m.load(ctx, where, anew)
		if err != nil {
			return Result{}, err
		}
		d, refusal := decide(state)
		c := changeOf(d)
		if refusal != nil || c.empty() {
			if fresh {
				return m.unchanged(state), refusal
			}
			anew = true
			continue
		}
		if m.takesTurns(c.Key) {
			waited, err := turn.Take(ctx, where.turnOf(c.Key))
			if err != nil {
				return Result{}, err
			}
			if waited {
				anew = false // who was at work has published
				continue
			}
		}
		if c.Subscriptions, err = m.admitted(ctx, &d.after.Incident, c.Subscriptions); err != nil {
			return Result{}, err
		}
		nameActivities(&ids, c.Activities)
		r, err := m.commit(ctx, &c, d.after)
		if !fresh && errors.Is(err, ErrNotFound) {
			m.checkHistory(ctx, c.Key, 0, m.coherence.Epoch()) // it was there when it was cached
		}
		if err == nil || !m.again(err, where.rejoins) {
			return r, err
		}
		conflicts++
		m.conflicts.Add(1)
		switch {
		case conflicts == maxConflicts:
			return r, outrun(err, conflicts)
		case conflicts == patience && m.tx == nil:
			return r, errImpatient
		}
		anew = true
	}
}

// errImpatient is that of a write which has lost often enough to go on as writeAlone.
var errImpatient = errors.New("other writers were faster")

// writeInTurn is write, and writeAlone where others are always faster.
func (m *manager) writeInTurn(ctx context.Context, where *target, decide func(*State) (decision, error)) (Result, error) {
	r, err := m.write(ctx, where, decide)
	if errors.Is(err, errImpatient) {
		return m.writeAlone(ctx, where, decide)
	}
	return r, err
}

// writeAlone is write in a transaction of its own: what it loads stands until it has
// written.
func (m *manager) writeAlone(ctx context.Context, where *target, decide func(*State) (decision, error)) (Result, error) {
	for conflicts := patience; ; conflicts++ {
		var r Result
		err := m.InTx(ctx, func(tx Manager) (err error) {
			r, err = tx.(*manager).write(ctx, where, decide)
			return err
		})
		switch {
		case err == nil:
			return r, nil
		case !m.again(err, where.rejoins):
			return Result{}, err
		case conflicts == maxConflicts:
			return Result{}, outrun(err, conflicts)
		}
		m.conflicts.Add(1)
	}
}

// outrun is the error of a write that others were always faster than.
func outrun(err error, conflicts int) error {
	return fmt.Errorf("%w: other writers were faster %d times; repeat the call when there are fewer: %w", ErrUnavailable, conflicts, err)
}

// takesTurns reports whether writers of an incident wait for each other. A
// transaction has its own order, and could wait for itself; and whoever loses the
// race for a slot of a local store finds out at once.
func (m *manager) takesTurns(key Key) bool {
	return m.tx == nil && (key.Identifier != 0 || !m.local)
}

// unchanged is a fresh state as a result, the zero one for a free slot.
func (m *manager) unchanged(s *State) Result {
	switch {
	case s == nil:
		return Result{}
	case m.local:
		return Result{Incident: s.Incident}
	}
	return Result{Incident: s.Incident.Clone()} // the state may be shared
}

// again reports whether err means that another writer was faster.
func (m *manager) again(err error, rejoins bool) bool {
	if errors.Is(err, ErrUnavailable) {
		return false
	}
	if errors.Is(err, ErrVersionConflict) {
		return true
	}
	var taken *ConflictError
	return rejoins && m.tx == nil && errors.As(err, &taken)
}

// commit applies a change of the incident's row and publishes the state that it
// leads to, which becomes its own.
func (m *manager) commit(ctx context.Context, c *Change, after *State) (Result, error) {
	if m.tx != nil {
		return m.applyAndPublish(ctx, m.tx.publication, c, after)
	}
	p := m.coherence.Begin()
	defer p.End(ctx)
	return m.applyAndPublish(ctx, &p, c, after)
}

func (m *manager) applyAndPublish(ctx context.Context, p *coherence.Publication, c *Change, after *State) (Result, error) {
	markChange(p, c, m.local)
	applied, err := m.apply(ctx, c)
	if m.tx == nil {
		settle(p, err)
	}
	if err != nil {
		return Result{}, err
	}
	if applied.Replayed {
		return Result{Incident: applied.Incident}, nil
	}
	if m.local && c.Key.Identifier == 0 {
		return Result{Incident: applied.Incident, Changed: true}, nil // what nobody can have read is in no cache
	}
	if c.Key.Identifier == 0 {
		m.checkHistory(ctx, applied.Incident.Key(), applied.Incident.Version, p.Began()) // its identifier may come again
	}
	after.Incident = applied.Incident
	for i := range after.Triggers {
		after.Triggers[i].Incident = after.Incident.Key()
	}
	addState(p, after, m.options.IncidentTTL)
	if !m.local {
		addSlots(p, c, &applied, m.options.ActiveTTL)
	}
	return Result{Incident: after.Incident.Clone(), Changed: true}, nil
}

// apply hands a change to the store. An answer to another call than this one,
// whose NotificationUUID was taken again, is a conflict.
func (m *manager) apply(ctx context.Context, c *Change) (Applied, error) {
	c.Notify = m.relay != nil && len(c.Activities) > 0
	m.attempt()
	applied, err := m.store.Apply(ctx, *c)
	if !c.Notify && err == nil && len(c.Activities) > 0 {
		m.unqueued()
	}
	if c.Notify && (err == nil || errors.Is(err, ErrUnknownOutcome)) {
		m.queued()
	}
	if err = m.failed(err); err != nil {
		return Applied{}, err
	}
	if applied.Replayed {
		m.observe(ctx, &applied.Incident)
	}
	if applied.Activity != nil && applied.Activity.Type != c.Activities[0].Type {
		return Applied{}, fmt.Errorf("%w: the notification UUID is that of another activity; use a new one", ErrConflict)
	}
	return applied, nil
}

// nameActivities gives a NotificationUUID to each activity that has none. A repetition of the
// call gives the same, so that the store recognizes it.
func nameActivities(ids *uuid7.Series, activities []Activity) {
	for i := range activities {
		if activities[i].NotificationUUID == uuid.Nil {
			activities[i].NotificationUUID = ids.At(i)
		}
	}
}
