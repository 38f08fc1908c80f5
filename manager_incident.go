package incident

import (
	"context"
	"time"
)

func (m *manager) Create(ctx context.Context, n NewIncident) (Result, error) {
	r, err := m.create(ctx, n)
	return r.listed(), wrap(err, "create in %q", n.OrganizationID)
}

func (m *manager) create(ctx context.Context, n NewIncident) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	inc, err := n.check(now)
	if err != nil {
		return Result{}, err
	}
	after := &State{Incident: inc}
	c := changeOf(decision{after: after, activities: opening(nil, &after.Incident, n.UserID)})
	ids := m.uuids.Series()
	nameActivities(&ids, c.Activities)
	var r Result
	err = m.commit(ctx, &c, after, &r)
	return r, err
}

func (m *manager) Get(ctx context.Context, key Key) (Incident, error) {
	state, err := m.readState(ctx, key)
	if err != nil {
		return Incident{}, wrap(err, "get %s", key)
	}
	return state.Incident.Clone().listed(), nil
}

func (m *manager) Details(ctx context.Context, key Key, user UserID) (Details, error) {
	d, err := m.details(ctx, key, user)
	return d, wrap(err, "details of %s", key)
}

func (m *manager) details(ctx context.Context, key Key, user UserID) (Details, error) {
	if err := m.usable(ctx); err != nil {
		return Details{}, err
	}
	if err := checkKey(key); err != nil {
		return Details{}, err
	}
	if err := checkID("userId", user, true); err != nil {
		return Details{}, err
	}
	d, err := m.store.LoadDetails(ctx, key, user)
	if err != nil {
		return Details{}, m.observeAbsent(ctx, key, err)
	}
	m.observe(ctx, &d.Incident)
	d.Incident = d.Incident.listed()
	d.Triggers, d.SeenBy = listed(d.Triggers), listed(d.SeenBy)
	return d, nil
}

func (m *manager) UpdateStatus(ctx context.Context, key Key, u StatusUpdate) (Result, error) {
	r, err := m.updateStatus(ctx, key, u)
	return r.listed(), wrap(err, "update status of %s", key)
}

func (m *manager) updateStatus(ctx context.Context, key Key, u StatusUpdate) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	at, err := u.check(now)
	if err != nil {
		return Result{}, err
	}
	return m.update(ctx, update{key, u.ExpectVersion, u.NotificationUUID, ActivityTypeStatusChange},
		func(before *State) (decision, error) { return decideStatus(before, u, at, now) })
}

func (m *manager) LinkProject(ctx context.Context, key Key, project ProjectID) (Result, error) {
	r, err := m.relink(ctx, key, project, link)
	return r.listed(), wrap(err, "link a project to %s", key)
}

func (m *manager) UnlinkProject(ctx context.Context, key Key, project ProjectID) (Result, error) {
	r, err := m.relink(ctx, key, project, unlink)
	return r.listed(), wrap(err, "unlink a project from %s", key)
}

func (m *manager) relink(ctx context.Context, key Key, project ProjectID, decide func(*State, ProjectID, time.Time) (decision, error)) (Result, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := checkID("project", project, false); err != nil {
		return Result{}, err
	}
	return m.write(ctx, subject{key: key}, func(v view) (decision, error) { return decide(v.state, project, now) })
}

func (m *manager) Active(ctx context.Context, slot Slot) (Incident, bool, error) {
	s, err := m.readActive(ctx, slot)
	if err != nil {
		return Incident{}, false, wrap(err, "active incident of %q", slot.OrganizationID)
	}
	return m.owned(s), s != nil, nil
}
