package incident

import (
	"context"
	"errors"

	"github.com/google/uuid"
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
	return m.commit(ctx, &c, after)
}

func (m *manager) Get(ctx context.Context, key Key) (Incident, error) {
	state, err := m.state(ctx, key)
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
		return Details{}, err
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
	r, err := m.writeInTurn(ctx, &target{key: key}, func(before *State) (decision, error) {
		if u.ExpectVersion != 0 && u.ExpectVersion != before.Incident.Version {
			return decision{}, ErrVersionConflict
		}
		return decideStatus(before, u, at, now)
	})
	if errors.Is(err, ErrVersionConflict) && u.NotificationUUID != uuid.Nil {
		return m.repeated(ctx, key, u.NotificationUUID)
	}
	return r, err
}

// repeated answers an update whose expected version is gone, perhaps by the
// update itself, whose answer was lost: no stored version is the expected one
// here, so the store can only know the UUID or refuse.
func (m *manager) repeated(ctx context.Context, key Key, notification uuid.UUID) (Result, error) {
	applied, err := m.apply(ctx, &Change{
		Key:           key,
		Incident:      &Incident{OrganizationID: key.OrganizationID, Identifier: key.Identifier},
		ExpectVersion: -1,
		Activities:    []Activity{{Incident: key, Type: ActivityTypeStatusChange, NotificationUUID: notification}},
	})
	return Result{Incident: applied.Incident}, err
}

func (m *manager) LinkProject(ctx context.Context, key Key, project ProjectID) (Result, error) {
	r, err := m.relink(ctx, key, project, link)
	return r.listed(), wrap(err, "link a project to %s", key)
}

func (m *manager) UnlinkProject(ctx context.Context, key Key, project ProjectID) (Result, error) {
	r, err := m.relink(ctx, key, project, unlink)
	return r.listed(), wrap(err, "unlink a project from %s", key)
}

func (m *manager) relink(ctx context.Context, key Key, project ProjectID, rule func(*State, ProjectID) (decision, error)) (Result, error) {
	if err := m.usable(ctx); err != nil {
		return Result{}, err
	}
	if err := checkKey(key); err != nil {
		return Result{}, err
	}
	if err := checkID("project", project, false); err != nil {
		return Result{}, err
	}
	return m.writeInTurn(ctx, &target{key: key}, func(before *State) (decision, error) { return rule(before, project) })
}

func (m *manager) Active(ctx context.Context, slot Slot) (Incident, bool, error) {
	inc, ok, err := m.active(ctx, slot)
	return inc, ok, wrap(err, "active incident of %q", slot.OrganizationID)
}
