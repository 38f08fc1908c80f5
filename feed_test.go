package incident_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

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
		"a transaction's Details": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Details(ctx, key, "ada")) })
		},
		"a transaction's Get": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Get(ctx, key)) })
		},
		"a transaction's Active": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				_, _, err := tx.Active(ctx, slot)
				return err
			})
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
				a.wake(t)
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
	for !m.Stats().Running {
		time.Sleep(time.Millisecond)
	}
	if err := m.Run(canceledContext()); !errors.Is(err, incident.ErrConflict) {
		t.Errorf("Run() beside another = %v, want ErrConflict", err)
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
