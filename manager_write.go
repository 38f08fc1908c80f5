package incident

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/incidentkit/incident/internal/coherence"
	"github.com/incidentkit/incident/internal/uuid7"
)

// Writes, the functions that decide and save them, and the reasons.
//
//	write                        function      reason
//	UpdateStatus, Fire, Resolve, write         decided on a state: it loads the state, decides,
//	  LinkProject, UnlinkProject,              takes a turn, commits, and begins again after
//	  Acknowledge, Assign, Edit                a conflict
//	MarkDuplicate                write         in a transaction, which keeps the other incident
//	                                           as it is
//	the same, after patience     writeAlone    writers of other processes take no turns: a
//	  conflicts                                transaction keeps them out
//	Create                       commit        there is no state to decide on
//	Comment                      apply         only appends, so that the cached state stays valid
//	an update that the state     answerRepeat  the update itself may have changed the state:
//	  refuses                                  the store can recognize its UUID, or refuse
//	EditComment, DeleteComment   revise        decided on an activity and its Revision; begins
//	                                           again after a conflict
//	MarkSeen, Subscribe,         (the store)   the store merges concurrent writes
//	  Unsubscribe, Replay
//
// write and writeAlone end in commit, and commit in apply.

const (
	// patience is how many conflicts with writers of other processes a write accepts
	// before it uses a transaction.
	patience = 4

	// maxConflicts bounds the conflicts of a write.
	maxConflicts = 16
)

// write changes the incident of a key, or the active incident of a slot, by a rule. In a slot
// without an active incident the rule may open one.
func (m *manager) write(ctx context.Context, at subject, decide rule) (Result, error) {
	r, err := m.writeInTurn(ctx, at, decide)
	if errors.Is(err, errImpatient) {
		return m.writeAlone(ctx, at, decide)
	}
	return r, err
}

// errImpatient is returned by writeInTurn after so many conflicts that the caller should use
// writeAlone.
var errImpatient = errors.New("other writers were faster")

// writeInTurn loads a state, decides and commits, and begins again after a conflict. Writers
// of this process take turns. A decision to change nothing, and a refusal, needs a fresh state
// and no turn.
func (m *manager) writeInTurn(ctx context.Context, at subject, decide rule) (Result, error) {
	turn := m.turns.Turn()
	defer turn.Leave()
	ids := m.uuids.Series()
	conflicts, fresh := 0, false
	for {
		v, err := m.viewToChange(ctx, at, fresh)
		if err != nil {
			return Result{}, err
		}
		d, refusal := decide(v)
		c := changeOf(d)
		if at.key.Identifier == 0 && c.Key.Identifier != 0 && len(c.Claim) > 1 {
			if err := m.reopen(ctx, at, v, decide, &d, &c); err != nil {
				return Result{}, err
			}
		}
		if refusal != nil || c.empty() {
			if v.fresh {
				if d.before == nil {
					d.before = v.state
				}
				return Result{Incident: m.owned(d.before)}, refusal
			}
			fresh = true
			continue
		}
		if m.takesTurns(c.Key) {
			waited, err := turn.Take(ctx, at.turnOf(c.Key))
			if err != nil {
				return Result{}, err
			}
			if waited {
				fresh = false // the writer before has updated the cache
				continue
			}
		}
		if c.Subscriptions, err = m.admitted(ctx, &d.after.Incident, c.Subscriptions, d.mustAdmit); err != nil {
			return Result{}, err
		}
		nameActivities(&ids, c.Activities)
		r, err := m.commit(ctx, &c, d.after)
		if !v.fresh && errors.Is(err, ErrNotFound) {
			m.checkHistory(ctx, subject{key: c.Key}, 0, m.coherence.Epoch()) // the cache had it
		}
		if err == nil || !m.outrun(err, at) {
			return r, err
		}
		conflicts++
		m.conflicts.Add(1)
		switch {
		case conflicts == maxConflicts:
			return r, tooManyConflicts(err)
		case conflicts == patience && m.tx == nil:
			return r, errImpatient
		}
		fresh = true
	}
}

// reopen looks at the other slots of an incident that a decision reopens, since the rule knows
// only its own slot. If another incident holds one of them, the rule decides again, on a blocked
// view.
func (m *manager) reopen(ctx context.Context, at subject, v view, decide rule, d *decision, c *Change) (err error) {
	for _, slot := range c.Claim {
		if slot == at.slot {
			continue
		}
		other, err := m.freshView(ctx, subject{slot: slot})
		if err != nil {
			return err
		}
		v.blocked = v.blocked || other.state != nil
	}
	if v.blocked {
		*d, err = decide(v)
		*c = changeOf(*d)
	}
	return err
}

// writeAlone writes in a transaction of its own, in which the store keeps the loaded state
// from changing.
func (m *manager) writeAlone(ctx context.Context, at subject, decide rule) (Result, error) {
	for conflicts := patience; ; conflicts++ {
		var r Result
		err := m.InTx(ctx, func(tx Manager) (err error) {
			r, err = tx.(*manager).writeInTurn(ctx, at, decide)
			return err
		})
		switch {
		case err == nil:
			return r, nil
		case !m.outrun(err, at):
			return Result{}, err
		case conflicts == maxConflicts:
			return Result{}, tooManyConflicts(err)
		}
		m.conflicts.Add(1)
	}
}

func tooManyConflicts(err error) error {
	return fmt.Errorf("%w: other writers were faster %d times; repeat the call when there are fewer: %w", ErrUnavailable, maxConflicts, err)
}

// turnOf returns the subject whose turn a write takes: the incident or, before it exists, the
// slot that it would occupy.
func (at subject) turnOf(written Key) subject {
	if written.Identifier == 0 {
		return subject{slot: at.slot}
	}
	return subject{key: written}
}

// takesTurns reports whether the writers of an incident take turns. In a transaction they
// do not: it could wait for itself. Nor do writers of a new incident in a local store, where
// losing the race costs less.
func (m *manager) takesTurns(key Key) bool {
	return m.tx == nil && (key.Identifier != 0 || !m.local)
}

// outrun reports whether err means that another writer was faster: it has changed the
// incident, or opened one in the free slot.
func (m *manager) outrun(err error, at subject) bool {
	if errors.Is(err, ErrUnavailable) {
		return false
	}
	if errors.Is(err, ErrVersionConflict) {
		return true
	}
	var taken *ConflictError
	return at.key.Identifier == 0 && m.tx == nil && errors.As(err, &taken)
}

// commit applies a change of an incident's row and publishes the new state to the cache. The
// cache keeps after, which must not change any more.
func (m *manager) commit(ctx context.Context, c *Change, after *State) (Result, error) {
	if m.tx != nil {
		return m.applyAndPublish(ctx, m.tx.publication, c, after)
	}
	p := m.coherence.Begin()
	defer p.End(ctx)
	return m.applyAndPublish(ctx, &p, c, after)
}

// applyAndPublish applies a change and adds the new state to a publication.
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
		return Result{Incident: applied.Incident, Changed: true}, nil // the cache has no older entry to replace
	}
	if c.Key.Identifier == 0 {
		m.checkHistory(ctx, subject{key: applied.Incident.Key()}, applied.Incident.Version, p.Began()) // a store that lost commits assigns identifiers again
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

// apply passes a change to the store. If the NotificationUUID of the change belongs to an
// activity of another type, it returns [ErrConflict].
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
	m.noteApplied(c, &applied, err)
	if err = m.failed(err); err != nil {
		return Applied{}, err
	}
	if applied.Replayed {
		m.observe(ctx, &applied.Incident)
	}
	if applied.Activity != nil && applied.Activity.Type != c.Activities[0].Type {
		return Applied{}, fmt.Errorf("%w: the notification UUID belongs to another activity; use a new one", ErrConflict)
	}
	return applied, nil
}

// nameActivities sets the NotificationUUID of each activity that has none. Deciding the write
// again yields the same UUIDs, so that the store recognizes a repetition.
func nameActivities(ids *uuid7.Series, activities []Activity) {
	for i := range activities {
		if activities[i].NotificationUUID == uuid.Nil {
			activities[i].NotificationUUID = ids.At(i)
		}
	}
}
