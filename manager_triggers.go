package incident

import (
	"context"
	"errors"
)

func (m *manager) Triggers(ctx context.Context, key Key) ([]Trigger, error) {
	state, err := m.state(ctx, key)
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
	var d *draft
	if m.local {
		d = drafts.Get().(*draft)
		defer drafts.Put(d)
	} else {
		d = new(draft)
	}
	where := target{slot: f.Slot, rejoins: true}
	r, err := m.write(ctx, &where, func(before *State) (decision, error) { return decideFiring(before, f, at, now, d) })
	if errors.Is(err, errImpatient) {
		// What outlasts this call is a copy: the usual firing allocates nothing for it.
		f, elsewhere, d := *f, where, new(draft)
		return m.writeAlone(ctx, &elsewhere, func(before *State) (decision, error) { return decideFiring(before, &f, at, now, d) })
	}
	return r, err
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
	return m.writeInTurn(ctx, &target{slot: r.Slot}, func(before *State) (decision, error) { return decideResolution(before, r.TriggerID, at) })
}
