package incident

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

func (m *manager) Triggers(ctx context.Context, key Key) ([]Trigger, error) {
	state, err := m.readState(ctx, key)
	if err != nil {
		return nil, wrap(err, "triggers of %s", key)
	}
	triggers := make([]Trigger, len(state.Triggers))
	copy(triggers, state.Triggers)
	return triggers, nil
}

func (m *manager) Fire(ctx context.Context, f Firing) (r Result, err error) {
	if err = m.fire(ctx, &f, &r); err != nil {
		return r, wrap(err, "fire %q in %q", f.TriggerID, f.OrganizationID)
	}
	return r, nil
}

// fire is Fire with its result in r, which must be zero. It makes the labels of f canonical.
func (m *manager) fire(ctx context.Context, f *Firing, r *Result) error {
	now, err := m.begin(ctx)
	if err != nil {
		return err
	}
	e, err := f.check(now)
	if err != nil {
		return err
	}
	at := subject{slot: f.Slot}
	v, err := m.viewToChange(ctx, &at, false)
	if err != nil {
		return err
	}
	if v.fresh && v.state != nil && f.repeats(v.state, &e) { // as most firings do
		r.Incident = m.owned(v.state)
		return nil
	}
	p := pendingFirings.Get().(*pendingFiring)
	defer pendingFirings.Put(p)
	p.Firing, p.event, p.clock, p.reusesDraft = *f, e, m.options.Now, m.local
	return m.writeFiring(ctx, &at, &v, p, r)
}

// writeFiring writes a firing, which is decided first on the view v. If the organization knows
// the DetectionUUID of an incident that the firing would open, the store answers without a look
// at the slot. Another writer may have opened an incident there, which the firing has to join.
func (m *manager) writeFiring(ctx context.Context, at *subject, v *view, p *pendingFiring, r *Result) error {
	for range maxConflicts {
		err := m.writeOn(ctx, at, v, p.rule, r)
		if err != nil || r.Changed || !p.opens || p.DetectionUUID == uuid.Nil {
			return err
		}
		found, err := m.freshView(ctx, at)
		if err != nil || found.state == nil {
			return err
		}
		m.conflicts.Add(1)
		v, *r = nil, Result{}
	}
	return tooManyConflicts(ErrVersionConflict)
}

// pendingFiring is a firing that is being written, with its rule. It is reused, so that a firing
// allocates no rule.
type pendingFiring struct {
	Firing
	event event
	clock func() time.Time
	rule  rule
	opens bool // the rule has decided to open an incident

	// draft is the memory of an incident that the firing opens. It is reused if reusesDraft
	// is set, for a local store: its new incidents are not put into the cache, so that
	// nothing retains their memory.
	draft       draft
	reusesDraft bool
}

var pendingFirings = sync.Pool{New: func() any {
	p := new(pendingFiring)
	p.rule = func(v view) (decision, error) {
		d, err := p.decide(&v)
		if d.after == d.before || !p.event.isBehind(&v, p.TriggerID) {
			return d, err
		}
		p.event.advance(canonical(p.clock()))
		return p.decide(&v)
	}
	return p
}}

func (p *pendingFiring) decide(v *view) (decision, error) {
	if p.opens = false; v.state != nil {
		return decideFiring(v.state, &p.Firing, &p.event)
	}
	d := &p.draft
	if !p.reusesDraft {
		d = new(draft)
	}
	decided, err := d.decide(v, &p.Firing, &p.event)
	p.opens = decided.after == &d.state
	return decided, err
}

func (m *manager) Resolve(ctx context.Context, r Resolution) (Result, error) {
	res, err := m.resolve(ctx, r)
	return res, wrap(err, "resolve %q in %q", r.TriggerID, r.OrganizationID)
}

func (m *manager) resolve(ctx context.Context, r Resolution) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	e, err := r.check(now)
	if err != nil {
		return Result{}, err
	}
	id := r.TriggerID
	return m.write(ctx, subject{slot: r.Slot}, func(v view) (decision, error) { return m.decideResolution(&v, id, e) })
}

func (m *manager) decideResolution(v *view, id TriggerID, e event) (decision, error) {
	d, err := decideResolution(v.state, id, &e)
	if d.after == d.before || !e.isBehind(v, id) {
		return d, err
	}
	e.advance(canonical(m.options.Now()))
	return decideResolution(v.state, id, &e)
}
