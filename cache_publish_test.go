package incident_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// A write that publishes after a newer write must not store its older version, even if the
// cache has dropped the newer version meanwhile.
func TestCache_dropsAnOvertakenPublication(t *testing.T) {
	m, p := probed(t, &incident.Options{Cache: incident.NewCache(1)})
	other, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "drops acme#1"})
	if err != nil {
		t.Fatal(err)
	}
	p.ended = func() { // the transaction is committed, and not yet published
		mustClose(t, m)
		if _, err := m.UpdateStatus(t.Context(), other.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.InTx(t.Context(), func(tx incident.Manager) error {
		mustFire(t, tx, "20%", incident.StatusCritical)
		mustFire(t, tx, "30%", incident.StatusCritical)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, m); got.Status != incident.StatusClosed {
		t.Errorf("the cache went back to %s", got.Status)
	}
}

// During a write, a reader that saw the new version in the store must not read the old version
// from the cache afterwards.
func TestCache_isBypassedDuringAWrite(t *testing.T) {
	m, p := probed(t, nil)
	var seen []incident.Status
	p.after = func(method string) error {
		if method != "Apply" {
			return nil
		}
		d, err := m.Details(t.Context(), key, "") // from the store
		if err != nil {
			return err
		}
		seen = append(seen, d.Status, mustGet(t, m).Status)
		if mustActive(t, m) {
			t.Error("active after it was seen closed")
		}
		return nil
	}
	mustClose(t, m)
	if len(seen) != 2 || seen[0] != incident.StatusClosed || seen[1] != incident.StatusClosed {
		t.Errorf("the store, then the cache, say %v", seen)
	}
}

// After a write of unknown outcome the cache serves no record that the write may have changed,
// even if the cache could not be asked during the write.
func TestCache_isBypassedWhileTheOutcomeIsUnknown(t *testing.T) {
	for name, fault := range map[string]func(p *probe, fail func(string) error){
		"written":     func(p *probe, fail func(string) error) { p.after = fail },
		"not written": func(p *probe, fail func(string) error) { p.before = fail },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testUnknownOutcome(t, fault) })
		})
	}
}

func testUnknownOutcome(t *testing.T, fault func(p *probe, fail func(string) error)) {
	c := &deafCache{Cache: incident.NewCache(10)}
	m, p := probed(t, &incident.Options{Cache: c})
	mustGet(t, m)
	if !mustActive(t, m) {
		t.Fatal("not active")
	}
	fault(p, func(method string) error {
		if method == "Apply" {
			c.deaf = true
			return incident.ErrUnknownOutcome
		}
		return nil
	})
	_, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed})
	if !errors.Is(err, incident.ErrUnknownOutcome) {
		t.Fatalf("UpdateStatus = %v", err)
	}
	p.before, p.after, c.deaf = nil, nil, false
	state, err := p.Store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := mustGet(t, m); got.Version != state.Incident.Version {
			t.Errorf("Get has version %d, the store %d", got.Version, state.Incident.Version)
		}
		if got, want := mustActive(t, m), state.Incident.Status.Active(); got != want {
			t.Errorf("Active = %t, the store says %t", got, want)
		}
	}
	time.Sleep(2 * time.Second)
	mustGet(t, m)
	p.loads.Store(0)
	mustGet(t, m)
	if n := p.loads.Load(); n != 0 && state.Incident.Version > 1 {
		t.Errorf("the incident is not cached again: %d loads", n)
	} else if n == 0 && state.Incident.Version == 1 {
		t.Error("the incident is cached at the version that the write may yet change")
	}
	// A later version proves that the write was committed or never will be.
	if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical}); err != nil {
		t.Fatal(err)
	}
	p.loads.Store(0)
	mustGet(t, m)
	if n := p.loads.Load(); n != 0 {
		t.Errorf("the incident is not cached again after a later write: %d loads", n)
	}
}

// deafCache misses every Get while it is deaf, like a cache behind a broken network.
type deafCache struct {
	incident.Cache
	deaf bool
}

func (c *deafCache) Get(ctx context.Context, key string) (e incident.CacheEntry, ok bool) {
	if c.deaf {
		return e, false
	}
	return c.Cache.Get(ctx, key)
}

func TestCache_dropsRolledBackWrite(t *testing.T) {
	m, p := probed(t, nil)
	boom := errors.New("boom")
	for name, end := range map[string]func() error{
		"error": func() error { return boom },
		"panic": func() error { panic(boom) },
	} {
		func() {
			defer func() { _ = recover() }()
			err := m.InTx(t.Context(), func(tx incident.Manager) error {
				mustClose(t, tx)
				if mustGet(t, tx).Status != incident.StatusClosed || mustActive(t, tx) {
					t.Error("the transaction does not see its own write")
				}
				return end()
			})
			if err != boom {
				t.Errorf("%s: InTx = %v, want fn's own error", name, err)
			}
		}()
		if mustGet(t, m).Status != incident.StatusWarning || !mustActive(t, m) {
			t.Errorf("%s: the write is visible", name)
		}
	}
	// A failed write undoes the transaction, even if fn ignores the error.
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		mustClose(t, tx)
		p.before = func(string) error { return incident.ErrUnavailable }
		if _, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}); err == nil {
			t.Error("the write did not fail")
		}
		return nil
	})
	p.before = nil
	if !errors.Is(err, incident.ErrUnavailable) {
		t.Errorf("InTx = %v, want the write's error", err)
	}
	if mustGet(t, m).Status != incident.StatusWarning {
		t.Error("a transaction with a failed write was committed")
	}
}

func TestCache_servesACommittedTransaction(t *testing.T) {
	m, p := probed(t, nil)
	var ended incident.Manager
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		ended = tx
		mustClose(t, tx)
		mustFire(t, tx, "5%", incident.StatusCritical)
		return tx.InTx(t.Context(), func(inner incident.Manager) error {
			_, err := inner.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "x"})
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	p.loads.Store(0)
	if mustGet(t, m).Status != incident.StatusClosed || !mustActive(t, m) {
		t.Error("the transaction's writes are not visible")
	}
	if n := p.loads.Load(); n != 0 {
		t.Errorf("%d loads for what the transaction has published", n)
	}
	if _, err := ended.Get(t.Context(), key); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("a call after the transaction's end = %v", err)
	}
}

// An incident that a transaction creates and reads is served from the cache after the commit:
// reading it there does not make its publication look outdated.
func TestCache_servesAnIncidentThatATransactionCreatedAndRead(t *testing.T) {
	m, p := probed(t, nil)
	var created incident.Key
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		r, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Checkout is down"})
		created = r.Key()
		return errors.Join(err, only(tx.Get(t.Context(), created)))
	})
	if err != nil {
		t.Fatal(err)
	}
	p.loads.Store(0)
	if err := only(m.Get(t.Context(), created)); err != nil || p.loads.Load() != 0 {
		t.Errorf("Get() after the commit = %v, with %d loads, want none", err, p.loads.Load())
	}
}
