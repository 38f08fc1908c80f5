package incident_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// hub is a store that several Managers share, as processes do, with a feed of what is
// written through it.
type hub struct {
	incident.Store
	loads atomic.Int64
	fault atomic.Pointer[func(context.Context) error] // before the feed answers; nil for none
	late  atomic.Int64                                // how long its answers are on their way

	mu  sync.Mutex // guards log
	log []incident.FeedChanges
}

func (h *hub) Shared() bool { return true }

func (h *hub) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	h.loads.Add(1)
	return h.Store.Load(ctx, key)
}

func (h *hub) LoadSlot(ctx context.Context, s incident.Slot) (incident.SlotState, error) {
	h.loads.Add(1)
	return h.Store.LoadSlot(ctx, s)
}

func (h *hub) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := h.Store.Apply(ctx, c)
	if err == nil && applied.Incident.Version != 0 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.log = append(h.log, incident.FeedChanges{
			Incidents: []incident.IncidentVersion{{Key: applied.Incident.Key(), Version: applied.Incident.Version}},
			Slots:     applied.Slots,
		})
	}
	return applied, err
}

// Changes implements [incident.FeedStore]. A position is a length of the log.
func (h *hub) Changes(ctx context.Context, since incident.FeedPosition) (changes incident.FeedChanges, err error) {
	if fault := h.fault.Load(); fault != nil {
		if err := (*fault)(ctx); err != nil {
			return changes, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	changes.Position = incident.FeedPosition(strconv.Itoa(len(h.log)))
	if since == "" {
		return changes, nil
	}
	defer func() {
		h.mu.Unlock()
		time.Sleep(time.Duration(h.late.Load()))
		h.mu.Lock()
	}()
	n, err := strconv.Atoi(string(since))
	for _, c := range h.log[n:] {
		changes.Incidents = append(changes.Incidents, c.Incidents...)
		changes.Slots = append(changes.Slots, c.Slots...)
	}
	return changes, err
}

// process is a Manager of a hub, which runs until stop.
type process struct {
	incident.Manager
	log  *bytes.Buffer
	stop func()
}

func newProcess(t *testing.T, h *hub) *process {
	t.Helper()
	p := &process{log: &bytes.Buffer{}}
	var err error
	p.Manager, err = incident.New(h, &incident.Options{Logger: slog.New(slog.NewTextHandler(p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v when its context ends, want nil", err)
		}
	})
}

// cached reports whether reading the incident needs no load.
func (h *hub) cached(t *testing.T, m incident.Manager) bool {
	t.Helper()
	before := h.loads.Load()
	mustGet(t, m)
	return h.loads.Load() == before
}

// twoProcesses runs a test with two processes of one hub and the incident acme#1.
func twoProcesses(t *testing.T, test func(t *testing.T, h *hub, a, b *process)) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{Store: memory.New()}
		a, b := newProcess(t, h), newProcess(t, h)
		defer a.stop()
		defer b.stop()
		time.Sleep(time.Second)
		mustFire(t, b, "5%", incident.StatusWarning)
		time.Sleep(time.Second + 10*time.Millisecond) // the processes ask every 40 ms: not at this moment
		test(t, h, a, b)
	})
}

// What another process writes is seen within the interval at which it is asked for.
func TestFeed_followsOtherProcesses(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustGet(t, a)
		if !mustActive(t, a) || !h.cached(t, a) {
			t.Fatal("what nobody has changed is not served from the cache")
		}
		mustClose(t, b)
		time.Sleep(50 * time.Millisecond)
		if got := mustGet(t, a); got.Status != incident.StatusClosed {
			t.Errorf("50 ms after another process closed it, the incident is %s", got.Status)
		}
		if mustActive(t, a) {
			t.Error("50 ms after another process closed it, the incident is active in its slot")
		}
		mustActive(t, a) // fills the cache with none
		mustFire(t, b, "5%", incident.StatusWarning)
		time.Sleep(50 * time.Millisecond)
		if !mustActive(t, a) {
			t.Error("50 ms after another process opened a new incident, none is active in the slot")
		}
		if !h.cached(t, a) {
			t.Error("the new version is not served from the cache")
		}
	})
}

// What this process has read from the store, it never denies, however it was read.
func TestFeed_readsAreMonotonic(t *testing.T) {
	reads := map[string]func(context.Context, incident.Manager) error{
		"Details": func(ctx context.Context, m incident.Manager) error {
			return only(m.Details(ctx, key, "ada"))
		},
		"List": func(ctx context.Context, m incident.Manager) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"}))
		},
		"Activities": func(ctx context.Context, m incident.Manager) error {
			return only(m.Activities(ctx, key, incident.ActivityFilter{}))
		},
		"Fire that changes nothing": func(ctx context.Context, m incident.Manager) error {
			return only(m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "20%", Severity: incident.StatusCritical, Title: "Error rate"}))
		},
		"UpdateStatus that changes nothing": func(ctx context.Context, m incident.Manager) error {
			return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical}))
		},
		"a transaction's Get": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Details(ctx, key, "ada")) })
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, _ *hub, a, b *process) {
				before := mustGet(t, a)
				mustFire(t, b, "20%", incident.StatusCritical)
				if got := mustGet(t, a); got.Version != before.Version {
					t.Fatal("the test shows nothing: the change is seen at once")
				}
				if err := read(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				if got := mustGet(t, a); got.Status != incident.StatusCritical {
					t.Errorf("after it was read as %s, the incident is %s", incident.StatusCritical, got.Status)
				}
			})
		})
	}
}

func only[T any](_ T, err error) error { return err }

// A feed that fails or does not answer ends the service from the cache within a second,
// and what was missed meanwhile is not missed when it is back.
func TestFeed_lost(t *testing.T) {
	faults := map[string]func(context.Context) error{
		"fails":   func(context.Context) error { return incident.ErrUnavailable },
		"hangs":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"is slow": func(context.Context) error { time.Sleep(2 * time.Second); return nil },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				mustGet(t, a)
				h.fault.Store(&fault)
				mustClose(t, b)
				time.Sleep(time.Second)
				if got := mustGet(t, a); got.Status != incident.StatusClosed {
					t.Errorf("a second later the incident is %s", got.Status)
				}
				if mustActive(t, a) || h.cached(t, a) {
					t.Error("without a feed an entry is served from the cache")
				}
				h.fault.Store(nil)
				time.Sleep(5 * time.Second)
				if got := mustGet(t, a); got.Status != incident.StatusClosed || !h.cached(t, a) {
					t.Errorf("with the feed back the incident is %s, or not served from the cache", got.Status)
				}
				a.stop()
				if log := a.log.String(); strings.Count(log, "is lost") != 1 || strings.Count(log, "is back;") != 1 {
					t.Errorf("the log does not say once that the feed is lost, and back: %s", log)
				}
			})
		})
	}
}

// An answer is as old as its question.
func TestFeed_late(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		h.late.Store(int64(2 * time.Second))
		time.Sleep(3 * time.Second)
		for range 40 {
			if h.cached(t, a) {
				t.Fatal("while answers are two seconds old, an entry is served from the cache")
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// So is the service that follows from it: wherever between two questions a change falls,
// and however late their answers are, a second later it is seen.
func TestFeed_lateAndLost(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		fails := func(context.Context) error { return incident.ErrUnavailable }
		for i := range 20 {
			h.late.Store(int64(600 * time.Millisecond))
			time.Sleep(5*time.Second + time.Duration(i)*31*time.Millisecond)
			mustGet(t, a)
			want := []incident.Status{incident.StatusCritical, incident.StatusWarning}[i%2]
			if _, err := b.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: want}); err != nil {
				t.Fatal(err)
			}
			h.fault.Store(&fails)
			time.Sleep(time.Second)
			if got := mustGet(t, a); got.Status != want {
				t.Errorf("a second after it became %s the incident is %s", want, got.Status)
			}
			h.fault.Store(nil)
			h.late.Store(0)
		}
	})
}

// Nothing is served from the cache before Run or after it, and a second Run goes on
// where the first one ended.
func TestFeed_withoutRun(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustGet(t, a)
		a.stop()
		if h.cached(t, a) {
			t.Error("after Run an entry is served from the cache")
		}
		mustClose(t, b)
		a.start(t)
		synctest.Wait()
		if got := mustGet(t, a); got.Status != incident.StatusClosed {
			t.Errorf("after a second Run began, the incident is %s", got.Status)
		}
		c, err := incident.New(h, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, c)
		if h.cached(t, c) {
			t.Error("before Run an entry is served from the cache")
		}
	})
}

// duringALoad runs a test with a process that loads the incident, which takes it a second,
// and another one that has closed it since.
func duringALoad(t *testing.T, test func(t *testing.T, a incident.Manager)) {
	twoProcesses(t, func(t *testing.T, h *hub, _, b *process) {
		p := &probe{Store: h, shared: true}
		a, err := incident.New(&slowFeed{probe: p, hub: h}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = a.Run(ctx) })
		defer running.Wait()
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		p.delayOnce("Load")
		running.Go(func() { mustGet(t, a) })
		synctest.Wait()
		mustClose(t, b)
		test(t, a)
	})
}

// A load that began before another process's write does not fill the cache after it
// was told.
func TestFeed_overtakesLoads(t *testing.T) {
	duringALoad(t, func(t *testing.T, a incident.Manager) {
		time.Sleep(2 * time.Second)
		if got := mustGet(t, a); got.Status != incident.StatusClosed {
			t.Errorf("an overtaken load filled the cache: the incident is %s", got.Status)
		}
	})
}

// Nor is it joined by a read that comes after this process has seen the other's write.
func TestFeed_overtakesSharedLoads(t *testing.T) {
	duringALoad(t, func(t *testing.T, a incident.Manager) {
		if d, err := a.Details(t.Context(), key, "ada"); err != nil || d.Status != incident.StatusClosed {
			t.Fatal(d, err)
		}
		if got := mustGet(t, a); got.Status != incident.StatusClosed {
			t.Errorf("after it was read as closed, the incident is %s", got.Status)
		}
	})
}

// slowFeed is a probe with the feed of a hub.
type slowFeed struct {
	*probe
	hub *hub
}

func (s *slowFeed) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	return s.hub.Changes(ctx, since)
}

func TestRun(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	if err := m.Run(none); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("Run(nil) = %v, want ErrInvalid", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	for !errors.Is(m.Run(canceledContext()), incident.ErrConflict) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run() = %v when its context ends, want nil", err)
	}
	err = m.InTx(t.Context(), func(tx incident.Manager) error {
		if err := tx.Run(t.Context()); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("Run() of a transaction = %v, want ErrInvalid", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func canceledContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
