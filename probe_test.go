package incident_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/memory"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// probe is a store that counts loads, delays calls and fails.
type probe struct {
	incident.Store
	loads  atomic.Int64
	before func(method string) error // runs before the call; an error is its answer
	after  func(method string) error // runs after it; an error replaces its answer
	ended  func()                    // runs after a transaction
	shared bool
}

func (p *probe) Shared() bool { return p.shared }

// delayOnce delays the answer of the next call of a method by a second, after it has read.
func (p *probe) delayOnce(method string) {
	var done atomic.Bool
	p.after = func(called string) error {
		if called == method && !done.Swap(true) {
			time.Sleep(time.Second)
		}
		return nil
	}
}

// InTx applies the faults to the transaction too.
func (p *probe) InTx(ctx context.Context, fn func(incident.Store) error) error {
	defer func() {
		if p.ended != nil {
			p.ended()
		}
	}()
	return p.Store.InTx(ctx, func(tx incident.Store) error {
		return fn(&probe{Store: tx, before: func(method string) error {
			if p.before == nil {
				return nil
			}
			return p.before(method)
		}})
	})
}

func around[T any](p *probe, method string, call func() (T, error)) (T, error) {
	var none T
	if p.before != nil {
		if err := p.before(method); err != nil {
			return none, err
		}
	}
	v, err := call()
	if p.after != nil && err == nil {
		if err := p.after(method); err != nil {
			return none, err
		}
	}
	return v, err
}

func (p *probe) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	p.loads.Add(1)
	return around(p, "Load", func() (incident.State, error) { return p.Store.Load(ctx, key) })
}

func (p *probe) LoadSlot(ctx context.Context, s incident.Slot) (incident.SlotState, error) {
	p.loads.Add(1)
	return around(p, "LoadSlot", func() (incident.SlotState, error) { return p.Store.LoadSlot(ctx, s) })
}

func (p *probe) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return around(p, "Apply", func() (incident.Applied, error) { return p.Store.Apply(ctx, c) })
}

// probed returns a Manager over a probe, with the active incident acme#1 in slot.
func probed(t *testing.T, opts *incident.Options) (incident.Manager, *probe) {
	t.Helper()
	p := &probe{Store: memory.New()}
	if opts == nil {
		opts = &incident.Options{}
	}
	m, err := incident.New(p, opts)
	if err != nil {
		t.Fatal(err)
	}
	mustFire(t, m, "5%", incident.StatusWarning)
	return m, p
}

func mustFire(t *testing.T, m incident.Manager, id incident.TriggerID, severity incident.Status) incident.Result {
	t.Helper()
	r, err := m.Fire(t.Context(), incident.Firing{Slot: slot, TriggerID: id, Severity: severity, Title: "Error rate"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustGet(t *testing.T, m incident.Manager) incident.Incident {
	t.Helper()
	inc, err := m.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return inc
}

func mustClose(t *testing.T, m incident.Manager) incident.Result {
	t.Helper()
	r, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mustActive returns whether the slot has an active incident.
func mustActive(t *testing.T, m incident.Manager) bool {
	t.Helper()
	_, ok, err := m.Active(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
