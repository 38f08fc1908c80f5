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

func (m *manager) Fire(ctx context.Context, f Firing) (Result, error) {
	r, err := m.fire(ctx, &f)
	if err != nil {
		return r, wrap(err, "fire %q in %q", f.TriggerID, f.OrganizationID)
	}
	return r, nil
}

func (m *manager) fire(ctx context.Context, f *Firing) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	p := pendingFirings.Get().(*pendingFiring)
	defer pendingFirings.Put(p)
	p.Firing, p.clock, p.reusesDraft = *f, m.options.Now, m.local
	if p.event, err = p.Firing.check(now); err != nil {
		return Result{}, err
	}
	return m.writeFiring(ctx, p)
}

// writeFiring writes a firing. If the organization knows the DetectionUUID of an incident that
// the firing would open, the store answers without a look at the slot. Another writer may have
// opened an incident there, which the firing has to join.
func (m *manager) writeFiring(ctx context.Context, p *pendingFiring) (Result, error) {
	for range maxConflicts {
		r, err := m.write(ctx, subject{slot: p.Slot}, p.rule)
		if err != nil || r.Changed || !p.opens || p.DetectionUUID == uuid.Nil {
			return r, err
		}
		v, err := m.freshView(ctx, subject{slot: p.Slot})
		if err != nil || v.state == nil {
			return r, err
		}
		m.conflicts.Add(1)
	}
	return Result{}, tooManyConflicts(ErrVersionConflict)
}

// pendingFiring is a firing that is being written, with its rule. It is reused: most firings
// change nothing, and should not allocate a rule.
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
