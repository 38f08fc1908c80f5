package incident

import (
	"cmp"
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
//	Remind                       setReminder   decided on a state that it does not change; begins
//	                                           again after a conflict
//	MarkSeen, Subscribe,         (the store)   the store merges concurrent writes
//	  Unsubscribe, Replay,
//	  DiscardParked, Discard,
//	  CancelReminder
//	Purge, DeleteOrganization    deletion      the store selects the incidents, batch by batch:
//	                                           they are reported to the cache after the commit
//	EraseUser                    eraseBatch    likewise
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
	var r Result
	err := m.writeOn(ctx, &at, nil, decide, &r)
	return r, err
}

// writeOn is write with its result in r, which must be zero. It decides on the view first or, if
// that is nil, reads a view. The pointers save Fire copies of large structs.
func (m *manager) writeOn(ctx context.Context, at *subject, first *view, decide rule, r *Result) error {
	err := m.writeInTurn(ctx, at, first, decide, r)
	if errors.Is(err, errImpatient) {
		*r, err = m.writeAlone(ctx, *at, decide)
	}
	return err
}

// errImpatient is returned by writeInTurn after so many conflicts that the caller should use
// writeAlone.
var errImpatient = errors.New("other writers were faster")

// writeInTurn reads a view, decides and commits, and begins again after a conflict. The view
// first, if not nil, takes the place of the first read. Writers of this process take turns. A
// decision to change nothing, and a refusal, needs a fresh view and no turn.
func (m *manager) writeInTurn(ctx context.Context, at *subject, first *view, decide rule, r *Result) (err error) {
	turn := m.turns.Turn()
	defer turn.Leave()
	ids := m.uuids.Series()
	conflicts, fresh := 0, false
	for {
		var v view
		if first != nil {
			v, first = *first, nil
		} else if v, err = m.viewToChange(ctx, at, fresh); err != nil {
			return err
		}
		d, refusal := decide(v)
		c := changeOf(d)
		if at.key.Identifier == 0 && c.Key.Identifier != 0 && len(c.Claim) > 1 {
			if err := m.reopen(ctx, *at, v, decide, &d, &c); err != nil {
				return err
			}
		}
		if refusal != nil || c.empty() {
			if v.fresh {
				r.Incident, r.Changed = m.owned(cmp.Or(d.before, v.state)), false
				return refusal
			}
			fresh = true
			continue
		}
		if m.takesTurns(c.Key) {
			waited, err := turn.Take(ctx, at.turnOf(c.Key))
			if err != nil {
				return err
			}
			if waited {
				fresh = false // the writer before has updated the cache
				continue
			}
		}
		if c.Subscriptions, err = m.admitted(ctx, &d.after.Incident, c.Subscriptions, d.mustAdmit); err != nil {
			return err
		}
		nameActivities(&ids, c.Activities)
		err = m.commit(ctx, &c, d.after, r)
		if !v.fresh && errors.Is(err, ErrNotFound) {
			m.checkHistory(ctx, subject{key: c.Key}, 0, m.coherence.Epoch()) // the cache had it
		}
		if err == nil || !m.outrun(err, *at) {
			return err
		}
		conflicts++
		m.conflicts.Add(1)
		switch {
		case conflicts == maxConflicts:
			return tooManyConflicts(err)
		case conflicts == patience && m.tx == nil:
			return errImpatient
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
		other, err := m.freshView(ctx, &subject{slot: slot})
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
	var r Result
	isOutrun := func(err error) bool { return m.outrun(err, at) }
	err := m.alone(ctx, patience, isOutrun, func(tx *manager) error {
		r = Result{}
		return tx.writeInTurn(ctx, &at, nil, decide, &r)
	})
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// alone runs fn in a transaction of its own, and begins again if other writers were in its way or faster,
// which isOutrun tells. conflicts is the number of conflicts before.
func (m *manager) alone(ctx context.Context, conflicts int, isOutrun func(error) bool, fn func(tx *manager) error) error {
	for ; ; conflicts++ {
		err := m.InTx(ctx, func(tx Manager) error { return fn(tx.(*manager)) })
		switch {
		case err == nil, !isDisturbed(err) && !isOutrun(err):
			return err
		case conflicts == maxConflicts:
			return tooManyConflicts(err)
		}
		m.conflicts.Add(1)
	}
}

// isDisturbed reports whether a transaction failed because of other writers, as by a deadlock: see
// [Store.InTx].
func isDisturbed(err error) bool {
	d, ok := errors.AsType[interface {
		error
		Disturbed() bool
	}](err)
	return ok && d.Disturbed() && !errors.Is(err, ErrUnknownOutcome)
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
// incident, opened one in the free slot, or deleted the incident that the slot had.
func (m *manager) outrun(err error, at subject) bool {
	if errors.Is(err, ErrUnavailable) {
		return false
	}
	if errors.Is(err, ErrVersionConflict) || at.key.Identifier == 0 && errors.Is(err, ErrNotFound) {
		return true
	}
	var taken *ConflictError
	return at.key.Identifier == 0 && m.tx == nil && errors.As(err, &taken)
}

// commit applies a change of an incident's row and publishes the new state to the cache. The
// cache keeps after, which must not change any more. An error leaves r unchanged.
func (m *manager) commit(ctx context.Context, c *Change, after *State, r *Result) error {
	if m.tx != nil {
		return m.applyAndPublish(ctx, m.tx.publication, c, after, r)
	}
	p := m.coherence.Begin()
	defer p.End(ctx)
	return m.applyAndPublish(ctx, &p, c, after, r)
}

// applyAndPublish applies a change and adds the new state to a publication. An error leaves r
// unchanged.
func (m *manager) applyAndPublish(ctx context.Context, p *coherence.Publication, c *Change, after *State, r *Result) error {
	markChange(p, c, m.local)
	var applied Applied
	err := m.apply(ctx, c, &applied)
	if m.tx == nil {
		settle(p, err)
	}
	if err != nil {
		return err
	}
	r.Changed = !applied.Replayed
	if applied.Replayed || m.local && c.Key.Identifier == 0 { // the cache has no older entry to replace
		r.Incident = applied.Incident
		return nil
	}
	if c.Key.Identifier == 0 {
		m.checkHistory(ctx, subject{key: applied.Incident.Key()}, applied.Incident.Version, p.Began()) // a store that lost commits assigns identifiers again
	}
	after.Incident, after.WriteID = applied.Incident, applied.WriteID
	for i := range after.Triggers {
		after.Triggers[i].Incident = after.Incident.Key()
	}
	addState(p, after, m.options.IncidentTTL)
	if !m.local {
		addSlots(p, c, &applied, m.options.ActiveTTL)
	}
	r.Incident = after.Incident.Clone()
	return nil
}

// apply passes a change to the store, and reports its outcome in applied, which has no meaning
// after an error. If the NotificationUUID of the change belongs to an activity of another type,
// apply returns [ErrConflict].
func (m *manager) apply(ctx context.Context, c *Change, applied *Applied) (err error) {
	var queued relaySet
	c.Notify, queued = m.relays.targets(c.Activities)
	direct := m.relays.reserve(m, c)
	defer direct.cancel()
	m.attempt()
	*applied, err = m.store.Apply(ctx, *c)
	if err == nil && len(c.Activities) > 0 {
		m.unqueued()
	}
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		m.queued(queued &^ direct.written(c, applied, err))
	}
	m.noteApplied(c, applied, err)
	if err = m.failed(err); err != nil {
		return m.observeAbsent(ctx, c.Key, err)
	}
	if applied.Replayed {
		m.observe(ctx, &applied.Incident)
	}
	if applied.Activity != nil && applied.Activity.Type != c.Activities[0].Type {
		return fmt.Errorf("%w: the notification UUID belongs to another activity; use a new one", ErrConflict)
	}
	return nil
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
