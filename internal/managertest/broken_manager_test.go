package managertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// errorKeeper remembers the errors of Get.
type errorKeeper struct {
	incident.Manager
	errs map[incident.Key]error
}

func (m *errorKeeper) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	if err := m.errs[key]; err != nil {
		return incident.Incident{}, err
	}
	inc, err := m.Manager.Get(ctx, key)
	if m.errs == nil {
		m.errs = map[incident.Key]error{}
	}
	m.errs[key] = err
	return inc, err
}

// sharingManager returns the same memory for the same version.
type sharingManager struct {
	incident.Manager
	kept map[incident.Key]incident.Incident
}

func (m *sharingManager) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	inc, err := m.Manager.Get(ctx, key)
	if err != nil {
		return inc, err
	}
	if m.kept == nil {
		m.kept = map[incident.Key]incident.Incident{}
	}
	if kept, ok := m.kept[key]; ok && kept.Version == inc.Version {
		return kept, nil
	}
	m.kept[key] = inc
	return inc, nil
}

// deafManager does not subscribe mentioned users.
type deafManager struct{ incident.Manager }

func (m *deafManager) Comment(ctx context.Context, key incident.Key, n incident.NewComment) (incident.Activity, error) {
	n.Mentions = nil
	return m.Manager.Comment(ctx, key, n)
}

// eagerManager reports that every resolution changed something.
type eagerManager struct{ incident.Manager }

func (m *eagerManager) Resolve(ctx context.Context, r incident.Resolution) (incident.Result, error) {
	res, err := m.Manager.Resolve(ctx, r)
	res.Changed = true
	return res, err
}

// loweringManager sets the status to the severity of each firing.
type loweringManager struct{ incident.Manager }

func (m *loweringManager) Fire(ctx context.Context, f incident.Firing) (incident.Result, error) {
	r, err := m.Manager.Fire(ctx, f)
	if err != nil || r.Status <= f.Severity {
		return r, err
	}
	return m.UpdateStatus(ctx, r.Key(), incident.StatusUpdate{Status: f.Severity, Method: incident.StatusMethodRuleTriggered})
}

// sortingManager sorts its argument in place.
type sortingManager struct{ incident.Manager }

func (m *sortingManager) Create(ctx context.Context, n incident.NewIncident) (incident.Result, error) {
	slices.Sort(n.Projects)
	return m.Manager.Create(ctx, n)
}

// lenientManager starts at the first page after a cursor was refused.
type lenientManager struct{ incident.Manager }

func (m *lenientManager) List(ctx context.Context, f incident.IncidentFilter) (incident.IncidentPage, error) {
	page, err := m.Manager.List(ctx, f)
	if f.Cursor != "" && errors.Is(err, incident.ErrInvalid) {
		f.Cursor = ""
		return m.Manager.List(ctx, f)
	}
	return page, err
}

// stubbornManager makes the calls of a transaction without one.
type stubbornManager struct{ incident.Manager }

func (m *stubbornManager) InTx(_ context.Context, fn func(tx incident.Manager) error) error {
	return fn(m.Manager)
}

// hastyManager returns reads that are up to a millisecond old.
type hastyManager struct {
	incident.Manager
	mu    sync.Mutex // guards the fields below
	kept  map[incident.Key]incident.Incident
	until map[incident.Key]time.Time
}

func (m *hastyManager) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	m.mu.Lock()
	kept, until := m.kept[key], m.until[key]
	m.mu.Unlock()
	if time.Now().Before(until) {
		return kept, nil
	}
	inc, err := m.Manager.Get(ctx, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept, m.until = map[incident.Key]incident.Incident{}, map[incident.Key]time.Time{}
	}
	m.kept[key], m.until[key] = inc, time.Now().Add(time.Millisecond)
	return inc, err
}

// blindManager does not find every fiftieth incident.
type blindManager struct {
	incident.Manager
	calls atomic.Int64
}

func (m *blindManager) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	if m.calls.Add(1)%50 == 0 {
		return incident.Incident{}, incident.ErrNotFound
	}
	return m.Manager.Get(ctx, key)
}

// forgetfulManager acknowledges every fiftieth update without making it.
type forgetfulManager struct {
	incident.Manager
	calls atomic.Int64
}

func (m *forgetfulManager) UpdateStatus(ctx context.Context, key incident.Key, u incident.StatusUpdate) (incident.Result, error) {
	if m.calls.Add(1)%50 != 0 {
		return m.Manager.UpdateStatus(ctx, key, u)
	}
	inc, err := m.Get(ctx, key)
	changed := inc.Status != u.Status
	inc.Status = u.Status
	if changed {
		inc.Version++
	}
	return incident.Result{Incident: inc, Changed: changed}, err
}

// impatientManager fails every fiftieth update.
type impatientManager struct {
	incident.Manager
	calls atomic.Int64
}

func (m *impatientManager) UpdateStatus(ctx context.Context, key incident.Key, u incident.StatusUpdate) (incident.Result, error) {
	if m.calls.Add(1)%50 == 0 {
		return incident.Result{}, incident.ErrVersionConflict
	}
	return m.Manager.UpdateStatus(ctx, key, u)
}
