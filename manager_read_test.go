package incident_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestCache_answersReadsWithoutALoad(t *testing.T) {
	m, p := probed(t, nil)
	p.loads.Store(0)
	mustGet(t, m)
	triggers, err := m.Triggers(t.Context(), key)
	if err != nil || len(triggers) != 1 || triggers[0].Incident != key {
		t.Fatalf("Triggers = %+v, %v", triggers, err)
	}
	if !mustActive(t, m) {
		t.Error("not active")
	}
	mustClose(t, m)
	if mustActive(t, m) {
		t.Error("active after closing")
	}
	if n := p.loads.Load(); n != 0 {
		t.Errorf("%d loads for what the writes have published", n)
	}
	free := slot
	free.ProjectID = "search"
	for range 3 {
		if _, ok, err := m.Active(t.Context(), free); ok || err != nil {
			t.Fatalf("Active = %t, %v", ok, err)
		}
	}
	if n := p.loads.Load(); n != 1 {
		t.Errorf("%d loads to remember that nothing is active, want 1", n)
	}
}

// Active fills the cache with two loads: of the slot, and of its incident.
func TestActive_loadsTheSlotAndItsIncidentOnce(t *testing.T) {
	_, p := probed(t, nil)
	m, err := incident.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.loads.Store(0)
	for range 4 {
		if !mustActive(t, m) {
			t.Fatal("not active")
		}
	}
	if n := p.loads.Load(); n != 2 {
		t.Errorf("%d loads, want 2", n)
	}
}

func TestCache_loadsOnceForConcurrentMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := probed(t, nil)
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.loads.Store(0)
		p.before = func(string) error { time.Sleep(time.Second); return nil }
		var readers sync.WaitGroup
		for range 50 {
			readers.Go(func() { mustGet(t, m) })
		}
		readers.Wait()
		if n := p.loads.Load(); n != 1 {
			t.Errorf("%d loads for 50 misses, want 1", n)
		}
	})
}

// A caller whose context ends does not end the load for the others.
func TestCache_doesNotShareACanceledLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := probed(t, nil)
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.before = func(string) error { time.Sleep(time.Second); return nil }
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var readers sync.WaitGroup
		readers.Go(func() {
			if _, err := m.Get(impatient, key); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient reader got %v", err)
			}
		})
		synctest.Wait() // the impatient reader has begun the load
		readers.Go(func() { mustGet(t, m) })
		readers.Wait()
		p.before = func(string) error { return errors.New("not from the cache") }
		mustGet(t, m)
	})
}

func TestCache_keepsNoErrorOrPanic(t *testing.T) {
	_, p := probed(t, nil)
	m, err := incident.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []func(string) error{
		func(string) error { return incident.ErrUnavailable },
		func(string) error { panic("boom") },
	} {
		p.before = fault
		if _, err := m.Get(t.Context(), key); !errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("Get = %v", err)
		}
		if _, _, err := m.Active(t.Context(), slot); !errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("Active = %v", err)
		}
	}
	p.before = nil
	mustGet(t, m)
	if !mustActive(t, m) {
		t.Error("not active")
	}
	missing := incident.Key{OrganizationID: "acme", Identifier: 2}
	if _, err := m.Get(t.Context(), missing); !errors.Is(err, incident.ErrNotFound) {
		t.Fatalf("Get = %v", err)
	}
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), missing); err != nil {
		t.Errorf("Get() of an incident that was created after a miss = %v", err)
	}
}

// A load that began before a write and ends after it must not store the old version, even if
// the cache has dropped the new version meanwhile.
func TestCache_dropsAnOvertakenLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{Store: memory.New()}
		m, err := incident.New(p, &incident.Options{Cache: incident.NewCache(1)})
		if err != nil {
			t.Fatal(err)
		}
		mustFire(t, m, "5%", incident.StatusWarning)
		other, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "drops acme#1"})
		if err != nil {
			t.Fatal(err)
		}
		p.delayOnce("Load")
		var reader sync.WaitGroup
		reader.Go(func() { mustGet(t, m) })
		synctest.Wait()
		mustClose(t, m)
		if _, err := m.UpdateStatus(t.Context(), other.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err) // its publication drops acme#1
		}
		reader.Wait()
		if got := mustGet(t, m); got.Status != incident.StatusClosed {
			t.Errorf("the cache went back to %s", got.Status)
		}
	})
}

// Active must not return the result of a slot load that began before a change of the
// incident.
func TestActive_joinsNoOutdatedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, &incident.Options{Cache: forgetfulCache{}})
		p.delayOnce("LoadSlot")
		var reader sync.WaitGroup
		reader.Go(func() { mustActive(t, m) })
		synctest.Wait()
		if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical}); err != nil {
			t.Fatal(err)
		}
		inc, ok, err := m.Active(t.Context(), slot)
		if err != nil || !ok || inc.Status != incident.StatusCritical {
			t.Errorf("after raising it, Active says %s, %t, %v", inc.Status, ok, err)
		}
		reader.Wait()
	})
}

// A read that begins after a write must not return the result of a load that began before it.
func TestCache_joinsNoOvertakenLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, &incident.Options{Cache: forgetfulCache{}})
		p.delayOnce("Load")
		var reader sync.WaitGroup
		reader.Go(func() { mustGet(t, m) })
		synctest.Wait()
		mustClose(t, m)
		if got := mustGet(t, m); got.Status != incident.StatusClosed {
			t.Errorf("after closing, Get says %s", got.Status)
		}
		reader.Wait()
	})
}

// forgetfulCache drops every entry at once, as a cache may.
type forgetfulCache struct{}

func (forgetfulCache) Get(context.Context, string) (e incident.CacheEntry, ok bool)    { return e, false }
func (forgetfulCache) Put(context.Context, string, incident.CacheEntry, time.Duration) {}

// hookedCache runs its hook after the next Get.
type hookedCache struct {
	incident.Cache
	hook func()
}

func (c *hookedCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	e, ok := c.Cache.Get(ctx, key)
	if hook := c.hook; hook != nil {
		c.hook = nil
		hook()
	}
	return e, ok
}

// Active does not return an incident that is closed between its reads of the slot and of the
// incident.
func TestActive_readsAgainIfTheIncidentLeft(t *testing.T) {
	c := &hookedCache{Cache: incident.NewCache(10)}
	m, _ := probed(t, &incident.Options{Cache: c})
	c.hook = func() { mustClose(t, m) }
	if inc, ok, err := m.Active(t.Context(), slot); ok || err != nil {
		t.Errorf("Active = %+v, %t, %v", inc, ok, err)
	}
}
