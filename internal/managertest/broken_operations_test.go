package managertest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// editedManager changes the arguments of calls. A field that is nil changes nothing.
type editedManager struct {
	incident.Manager
	create      func(*incident.NewIncident)
	acknowledge func(incident.Incident, *incident.Acknowledgement)
	assign      func(incident.Incident, *incident.Assignment)
	edit        func(incident.Incident, *incident.Edit)
	duplicate   func(incident.Incident, *incident.Duplicate)
	filter      func(*incident.IncidentFilter)
}

func (m *editedManager) Create(ctx context.Context, n incident.NewIncident) (incident.Result, error) {
	if m.create != nil {
		m.create(&n)
	}
	return m.Manager.Create(ctx, n)
}

func (m *editedManager) Acknowledge(ctx context.Context, key incident.Key, a incident.Acknowledgement) (incident.Result, error) {
	if inc, err := m.Get(ctx, key); err == nil && m.acknowledge != nil {
		m.acknowledge(inc, &a)
	}
	return m.Manager.Acknowledge(ctx, key, a)
}

func (m *editedManager) Assign(ctx context.Context, key incident.Key, a incident.Assignment) (incident.Result, error) {
	if inc, err := m.Get(ctx, key); err == nil && m.assign != nil {
		m.assign(inc, &a)
	}
	return m.Manager.Assign(ctx, key, a)
}

func (m *editedManager) Edit(ctx context.Context, key incident.Key, e incident.Edit) (incident.Result, error) {
	if inc, err := m.Get(ctx, key); err == nil && m.edit != nil {
		m.edit(inc, &e)
	}
	return m.Manager.Edit(ctx, key, e)
}

func (m *editedManager) MarkDuplicate(ctx context.Context, key incident.Key, d incident.Duplicate) (incident.Result, error) {
	if inc, err := m.Get(ctx, key); err == nil && m.duplicate != nil {
		m.duplicate(inc, &d)
	}
	return m.Manager.MarkDuplicate(ctx, key, d)
}

func (m *editedManager) List(ctx context.Context, f incident.IncidentFilter) (incident.IncidentPage, error) {
	if m.filter != nil && f.Cursor == "" {
		m.filter(&f)
	}
	return m.Manager.List(ctx, f)
}

func (m *editedManager) Count(ctx context.Context, f incident.IncidentFilter) (incident.Counts, error) {
	if m.filter != nil {
		m.filter(&f)
	}
	return m.Manager.Count(ctx, f)
}

// edited returns a decoration that changes arguments.
func edited(by editedManager) func(incident.Manager) incident.Manager {
	return func(m incident.Manager) incident.Manager {
		by := by
		by.Manager = m
		return &by
	}
}

// replacing returns a store that tampers with the response after changes that begin with an
// activity of a type.
func replacing(kind incident.ActivityType, tamper func(r *incident.Response, first incident.Activity) *incident.Response) func(incident.Store) incident.Store {
	return changing(func(c *incident.Change) {
		if c.Incident == nil || c.ExpectVersion <= 0 || len(c.Activities) == 0 || c.Activities[0].Type != kind {
			return
		}
		inc := c.Incident.Clone()
		if inc.Response = tamper(inc.Response, c.Activities[0]); inc.Response != nil && *inc.Response == (incident.Response{}) {
			inc.Response = nil
		}
		c.Incident = &inc
	})
}

// keeping returns a store in which a change of status keeps a part of the row before it.
func keeping(keep func(after *incident.Incident, before incident.Incident)) func(incident.Store) incident.Store {
	var mu sync.Mutex // guards last
	last := map[incident.Key]incident.Incident{}
	return changing(func(c *incident.Change) {
		if c.Incident == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		inc := c.Incident.Clone()
		if before, ok := last[c.Key]; ok && before.Version == inc.Version-1 && before.Status != inc.Status {
			keep(&inc, before)
		}
		c.Incident = &inc
		if c.Key.Identifier != 0 {
			last[c.Key] = inc.Clone()
		}
	})
}

// lostDuplicate closes the incident and loses the mark.
type lostDuplicate struct{ incident.Manager }

func (m *lostDuplicate) MarkDuplicate(ctx context.Context, key incident.Key, d incident.Duplicate) (incident.Result, error) {
	return m.UpdateStatus(ctx, key, incident.StatusUpdate{
		Status: incident.StatusClosed, UserID: d.UserID, Comment: d.Comment,
		ExpectVersion: d.ExpectVersion, NotificationUUID: d.NotificationUUID,
	})
}

// obligingManager marks an incident as a duplicate of the original of a duplicate, instead of
// refusing.
type obligingManager struct{ incident.Manager }

func (m *obligingManager) MarkDuplicate(ctx context.Context, key incident.Key, d incident.Duplicate) (incident.Result, error) {
	r, err := m.Manager.MarkDuplicate(ctx, key, d)
	if original, found := m.Get(ctx, incident.Key{OrganizationID: key.OrganizationID, Identifier: d.Of}); errors.Is(err, incident.ErrInvalid) && found == nil && original.DuplicateOf != key.Identifier {
		d.Of = original.DuplicateOf
		return m.Manager.MarkDuplicate(ctx, key, d)
	}
	return r, err
}

// looseManager makes the calls for many one after another, without their checks.
type looseManager struct {
	incident.Manager
	sameUUID bool // for all incidents
	ends     bool // at the first failure
	reversed bool // results
}

func (m *looseManager) UpdateStatusAll(ctx context.Context, keys []incident.Key, u incident.StatusUpdate) ([]incident.BulkResult, error) {
	return m.each(keys, u.NotificationUUID, func(key incident.Key, id uuid.UUID) (incident.Result, error) {
		u := u
		u.NotificationUUID = id
		return m.UpdateStatus(ctx, key, u)
	})
}

func (m *looseManager) AcknowledgeAll(ctx context.Context, keys []incident.Key, a incident.Acknowledgement) ([]incident.BulkResult, error) {
	return m.each(keys, a.NotificationUUID, func(key incident.Key, id uuid.UUID) (incident.Result, error) {
		a := a
		a.NotificationUUID = id
		return m.Acknowledge(ctx, key, a)
	})
}

func (m *looseManager) each(keys []incident.Key, id uuid.UUID, call func(incident.Key, uuid.UUID) (incident.Result, error)) ([]incident.BulkResult, error) {
	results := make([]incident.BulkResult, len(keys))
	for i, key := range keys {
		results[i].Key = key
	}
	for i, key := range keys {
		own := id
		if !m.sameUUID {
			own = derived(id, key)
		}
		r, err := call(key, own)
		if results[i].Result, results[i].Err = r, err; err != nil && m.ends {
			break
		}
	}
	if m.reversed && len(keys) > 1 {
		slices.Reverse(results)
		for i, key := range keys {
			results[i].Key = key
		}
	}
	return results, nil
}

// silentManager reports that acknowledging many incidents changed nothing.
type silentManager struct{ incident.Manager }

func (m *silentManager) AcknowledgeAll(ctx context.Context, keys []incident.Key, a incident.Acknowledgement) ([]incident.BulkResult, error) {
	results, err := m.Manager.AcknowledgeAll(ctx, keys, a)
	for i := range results {
		results[i].Result.Changed = false
	}
	return results, err
}

// sparseManager leaves statuses without incidents out of a count.
type sparseManager struct{ incident.Manager }

func (m *sparseManager) Count(ctx context.Context, f incident.IncidentFilter) (incident.Counts, error) {
	c, err := m.Manager.Count(ctx, f)
	for s, n := range c.ByStatus {
		if n == 0 {
			delete(c.ByStatus, s)
		}
	}
	return c, err
}

// pagedCounts counts at most two incidents of a status.
type pagedCounts struct{ incident.Store }

func (s *pagedCounts) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	q.Limit = 2
	return s.Store.CountIncidents(ctx, q)
}

// lenientAssigner asks no Authorizer for an assignee.
type lenientAssigner struct {
	incident.Manager
	open incident.Manager // without an Authorizer
}

func (m *lenientAssigner) Assign(ctx context.Context, key incident.Key, a incident.Assignment) (incident.Result, error) {
	r, err := m.Manager.Assign(ctx, key, a)
	if errors.Is(err, incident.ErrInvalid) && a.Assignee == "bob" {
		return m.open.Assign(ctx, key, a)
	}
	return r, err
}
