package incident

import "context"

func (m *manager) Acknowledge(ctx context.Context, key Key, a Acknowledgement) (Result, error) {
	r, err := m.acknowledge(ctx, key, a)
	return r.listed(), wrap(err, "acknowledge %s", key)
}

func (m *manager) acknowledge(ctx context.Context, key Key, a Acknowledgement) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := a.check(now); err != nil {
		return Result{}, err
	}
	u := update{key, a.ExpectVersion, a.NotificationUUID, ActivityTypeAcknowledged}
	if a.Withdraw {
		u.activity = ActivityTypeUnacknowledged
	}
	return m.update(ctx, u, func(before *State) (decision, error) { return decideAcknowledgement(before, a, now) })
}

func (m *manager) Assign(ctx context.Context, key Key, a Assignment) (Result, error) {
	r, err := m.assign(ctx, key, a)
	return r.listed(), wrap(err, "assign %s", key)
}

func (m *manager) assign(ctx context.Context, key Key, a Assignment) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := a.check(); err != nil {
		return Result{}, err
	}
	return m.update(ctx, update{key, a.ExpectVersion, a.NotificationUUID, ActivityTypeAssigned},
		func(before *State) (decision, error) { return decideAssignment(before, a, now) })
}
