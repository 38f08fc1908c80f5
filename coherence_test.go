package incident_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a store that counts, delays and fails.
type probe struct {
	incident.Store
	loads  atomic.Int64
	before func(method string) error // runs before the call; an error is its answer
	after  func(method string) error // runs after it; an error replaces its answer
	ended  func()                    // runs after a transaction
	shared bool
}

func (p *probe) Shared() bool { return p.shared }

// delayOnce makes the next call of a method answer a second after it has read.
func (p *probe) delayOnce(method string) {
	var done atomic.Bool
	p.after = func(called string) error {
		if called == method && !done.Swap(true) {
			time.Sleep(time.Second)
		}
		return nil
	}
}

// InTx passes the faults on to the transaction.
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

// probed is a manager over a probe, with the active incident acme#1 of slot.
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

func TestCached_readsCostNoLoad(t *testing.T) {
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

// Two loads, of the slot and of its incident, fill the cache for Active.
func TestCached_activeOfAnotherManager(t *testing.T) {
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

func TestCached_concurrentMissesMakeOneLoad(t *testing.T) {
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

// One caller's end is not the others'.
func TestCached_canceledLoadIsNotShared(t *testing.T) {
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
		synctest.Wait() // the load is the impatient one's
		readers.Go(func() { mustGet(t, m) })
		readers.Wait()
		p.before = func(string) error { return errors.New("not from the cache") }
		mustGet(t, m)
	})
}

func TestCached_errorsAndPanicsAreNot(t *testing.T) {
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
		t.Errorf("what was not found stays so: %v", err)
	}
}

// A load that began before a write and ends after it must not bring the old
// version back: not even into a cache that has dropped the new one by then.
func TestCached_overtakenLoadIsNotStored(t *testing.T) {
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

// A write whose publication another one overtook must not bring its own version
// back into a cache that has dropped the newer one by then.
func TestCached_overtakenPublicationIsNotStored(t *testing.T) {
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

// A load of a slot that began before a change of its incident must not be what
// a later Active returns.
func TestCached_activeDoesNotJoinAnOldState(t *testing.T) {
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

// A read that begins after a write must not be given what a load before the
// write has found.
func TestCached_overtakenLoadIsNotJoined(t *testing.T) {
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

// forgetfulCache drops every entry at once, as any cache may.
type forgetfulCache struct{}

func (forgetfulCache) Get(context.Context, string) (e incident.CacheEntry, ok bool)    { return e, false }
func (forgetfulCache) Put(context.Context, string, incident.CacheEntry, time.Duration) {}

// hookedCache runs a hook after it was asked.
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

// An incident that is closed between the two reads that Active makes is not
// returned as active.
func TestCached_activeIsClosedMeanwhile(t *testing.T) {
	c := &hookedCache{Cache: incident.NewCache(10)}
	m, _ := probed(t, &incident.Options{Cache: c})
	c.hook = func() { mustClose(t, m) }
	if inc, ok, err := m.Active(t.Context(), slot); ok || err != nil {
		t.Errorf("Active = %+v, %t, %v", inc, ok, err)
	}
}

// While a write is on its way, a reader who saw it in the store must not be
// given the old version by the cache afterwards.
func TestCached_writeOnItsWay(t *testing.T) {
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

// After a write of unknown outcome the cache serves nothing that it may have
// changed, whether it was written or not, also if the cache could not be asked
// meanwhile.
func TestCached_unknownOutcome(t *testing.T) {
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
	// A later version tells that the write was made or never will be.
	if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical}); err != nil {
		t.Fatal(err)
	}
	p.loads.Store(0)
	mustGet(t, m)
	if n := p.loads.Load(); n != 0 {
		t.Errorf("the incident is not cached again after a later write: %d loads", n)
	}
}

// deafCache answers no Get while it is deaf, as one beyond a broken network.
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

func TestCached_rolledBackWriteIsNot(t *testing.T) {
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
	// A failed write undoes all, also when fn overlooks it.
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

func TestCached_committedTransaction(t *testing.T) {
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
func TestCached_createdAndReadInATransaction(t *testing.T) {
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

// What a shared store holds is not served from a cache that nobody keeps in
// step with the other processes.
func TestCached_sharedStoreIsNot(t *testing.T) {
	p := &probe{Store: memory.New(), shared: true}
	var ms [2]incident.Manager
	for i := range ms {
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		ms[i] = m
	}
	mustFire(t, ms[0], "5%", incident.StatusWarning)
	mustGet(t, ms[1])
	mustClose(t, ms[0])
	if mustGet(t, ms[1]).Status != incident.StatusClosed || mustActive(t, ms[1]) {
		t.Error("the other manager serves an old version")
	}
	if mustFire(t, ms[1], "5%", incident.StatusWarning).Identifier != 2 || !mustActive(t, ms[0]) {
		t.Error("the first manager serves an old slot")
	}
}

// brokenCache panics where it is told to.
type brokenCache struct {
	incident.Cache
	get, put bool
}

func (c *brokenCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	if c.get {
		panic("get")
	}
	return c.Cache.Get(ctx, key)
}

func (c *brokenCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	if c.put {
		panic("put")
	}
	c.Cache.Put(ctx, key, e, ttl)
}

func TestCached_brokenCacheIsBypassed(t *testing.T) {
	var log strings.Builder
	c := &brokenCache{Cache: incident.NewCache(10)}
	m, _ := probed(t, &incident.Options{Cache: c, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mustGet(t, m)
	c.get = true
	mustGet(t, m)
	if !strings.Contains(log.String(), "the cache panicked") {
		t.Errorf("the log has %q", log.String())
	}
	c.get, c.put = false, true
	mustClose(t, m) // its version does not get into the cache
	c.put = false
	if mustGet(t, m).Status != incident.StatusClosed {
		t.Error("the cache serves what it failed to replace")
	}
}

// encodingCache keeps the binary form, as a cache outside the process does.
type encodingCache struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func (c *encodingCache) Get(_ context.Context, key string) (e incident.CacheEntry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, ok := c.entries[key]
	return e, ok && e.UnmarshalBinary(data) == nil
}

func (c *encodingCache) Put(_ context.Context, key string, e incident.CacheEntry, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var old incident.CacheEntry
	if data, ok := c.entries[key]; ok && old.UnmarshalBinary(data) == nil && old.Version > e.Version {
		return
	}
	data, err := e.MarshalBinary()
	if err != nil {
		panic(err)
	}
	c.entries[key] = data
}

func TestCached_inBinaryForm(t *testing.T) {
	m, p := probed(t, &incident.Options{Cache: &encodingCache{entries: map[string][]byte{}}})
	want := mustGet(t, m)
	p.loads.Store(0)
	got := mustGet(t, m)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !mustActive(t, m) || p.loads.Load() != 0 {
		t.Errorf("from the cache: %+v, from the store: %+v, %d loads", got, want, p.loads.Load())
	}
}

// Writers who wait for each other in this process still obey their contexts.
func TestWrite_waitingObeysTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, nil)
		p.before = func(method string) error {
			if method == "Apply" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		var writers sync.WaitGroup
		writers.Go(func() { mustClose(t, m) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("UpdateStatus = %v after %s", err, time.Since(start))
		}
		writers.Wait()
	})
}

// A writer of another process who is always faster ends a write at last, with an
// error that says so.
func TestWrite_conflictsAreBounded(t *testing.T) {
	m, p := probed(t, nil)
	tries := 0
	p.before = func(method string) error {
		if method == "Apply" {
			tries++
			return incident.ErrVersionConflict
		}
		return nil
	}
	_, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed})
	if !errors.Is(err, incident.ErrVersionConflict) || !errors.Is(err, incident.ErrUnavailable) || tries < 2 || tries > 100 {
		t.Errorf("UpdateStatus = %v after %d tries", err, tries)
	}
}

// What would change nothing according to the cache is checked against the
// store, which may know better.
func TestWrite_nothingToDoIsChecked(t *testing.T) {
	_, p := probed(t, nil)
	var ms [2]incident.Manager // whose caches do not follow each other
	for i := range ms {
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		ms[i] = m
		mustGet(t, m)
		mustActive(t, m)
		mustActive(t, m)
	}
	mustClose(t, ms[0])
	if r := mustFire(t, ms[1], "5%", incident.StatusWarning); !r.Changed || r.Identifier != 2 {
		t.Errorf("Fire on a stale cache = %+v", r)
	}
	if r := mustClose(t, ms[1]); r.Changed {
		t.Error("closed twice")
	}
	res, err := ms[0].Resolve(t.Context(), incident.Resolution{Slot: slot, TriggerID: "5%"})
	if err != nil || !res.Changed || res.Identifier != 2 {
		t.Errorf("Resolve on a stale cache = %+v, %v", res, err)
	}
}
