package incident

import (
	"context"
	"sync"
	"time"
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
	if err := checkSlot(f.Slot); err != nil {
		return Result{}, err
	}
	if err := checkID("trigger", f.TriggerID, false); err != nil {
		return Result{}, err
	}
	if f.Severity != StatusWarning && f.Severity != StatusCritical {
		return Result{}, invalid("severity", "must be %d (warning) or %d (critical), not %d", StatusWarning, StatusCritical, f.Severity)
	}
	if err := checkTitle(f.Title); err != nil {
		return Result{}, err
	}
	at, err := checkDate("date", f.Date, now, now)
	if err != nil {
		return Result{}, err
	}
	p := pendingFirings.Get().(*pendingFiring)
	defer pendingFirings.Put(p)
	p.Firing, p.at, p.now, p.reusesDraft = *f, at, now, m.local
	return m.write(ctx, subject{slot: f.Slot}, p.rule)
}

// pendingFiring is a firing that is being written, with its rule. It is reused: most firings
// change nothing, and should not allocate a rule.
type pendingFiring struct {
	Firing
	at, now time.Time
	rule    rule

	// draft is the memory of an incident that the firing opens. It is reused if reusesDraft
	// is set, for a local store: its new incidents are not put into the cache, so that
	// nothing retains their memory.
	draft       draft
	reusesDraft bool
}

var pendingFirings = sync.Pool{New: func() any {
	p := new(pendingFiring)
	p.rule = func(v view) (decision, error) {
		if v.state != nil {
			return decideFiring(v.state, &p.Firing, p.at)
		}
		d := &p.draft
		if !p.reusesDraft {
			d = new(draft)
		}
		return d.open(&p.Firing, p.at, p.now), nil
	}
	return p
}}

func (m *manager) Resolve(ctx context.Context, r Resolution) (Result, error) {
	res, err := m.resolve(ctx, r)
	return res, wrap(err, "resolve %q in %q", r.TriggerID, r.OrganizationID)
}

func (m *manager) resolve(ctx context.Context, r Resolution) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkSlot(r.Slot); err != nil {
		return Result{}, err
	}
	if err := checkID("trigger", r.TriggerID, false); err != nil {
		return Result{}, err
	}
	at, err := checkDate("date", r.Date, now, now)
	if err != nil {
		return Result{}, err
	}
	return m.write(ctx, subject{slot: r.Slot}, func(v view) (decision, error) { return decideResolution(v.state, r.TriggerID, at) })
}
