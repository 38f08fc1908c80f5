package incident_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// watcher keeps what a call of Watch is told.
type watcher struct {
	stop func()

	mu   sync.Mutex // guards told
	told []incident.Changes
}

// watchAcme watches acme until the end of the test.
func watchAcme(t *testing.T, m incident.Manager) *watcher {
	t.Helper()
	w := &watcher{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- m.Watch(ctx, "acme", func(c incident.Changes) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, c)
			return nil
		})
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch() = %v when its context ends, want nil", err)
		}
	})
	synctest.Wait()
	return w
}

// take returns and forgets what was told.
func (w *watcher) take() []incident.Changes {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told
	w.told = nil
	return told
}

func (w *watcher) wantResyncs(t *testing.T, when string, n int) {
	t.Helper()
	told := w.take()
	if len(told) != n || slices.ContainsFunc(told, func(c incident.Changes) bool { return !c.Resync }) {
		t.Errorf("%s the watcher is told %+v, want %d resyncs", when, told, n)
	}
}

func (w *watcher) wantTold(t *testing.T, when string, want ...incident.IncidentVersion) {
	t.Helper()
	told := w.take()
	if len(want) == 0 && len(told) > 0 || len(want) > 0 && (len(told) != 1 || told[0].Resync || !slices.Equal(told[0].Incidents, want)) {
		t.Errorf("%s the watcher is told %+v, want %+v", when, told, want)
	}
}

func numbers(version, activities int64) incident.IncidentVersion {
	return incident.IncidentVersion{Key: key, Version: version, Activities: activities}
}

func mustComment(t *testing.T, m incident.Manager) incident.Activity {
	t.Helper()
	a, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Looking"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWatch_refusesInput(t *testing.T) {
	m, _ := probed(t, nil)
	fn := func(incident.Changes) error { return errors.New("called") }
	var none context.Context
	for name, err := range map[string]error{
		"no context":      m.Watch(none, "acme", fn),
		"no organization": m.Watch(t.Context(), "", fn),
		"a long name":     m.Watch(t.Context(), incident.OrganizationID(long), fn),
		"no function":     m.Watch(t.Context(), "acme", nil),
		"a transaction": m.InTx(t.Context(), func(tx incident.Manager) error {
			return tx.Watch(t.Context(), "acme", fn)
		}),
	} {
		if !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("Watch() with %s = %v, want ErrInvalid", name, err)
		}
	}
	if err := m.Watch(canceledContext(), "acme", fn); err != nil {
		t.Errorf("Watch() whose context has ended = %v, want nil", err)
	}
}

// The error and the panic of fn reach the caller, and the watcher is gone.
func TestWatch_endsWithItsFunction(t *testing.T) {
	m, _ := probed(t, nil)
	enough := errors.New("enough")
	if err := m.Watch(t.Context(), "acme", func(incident.Changes) error { return enough }); err != enough {
		t.Errorf("Watch() = %v, want the error of fn unchanged", err)
	}
	defer func() {
		if p := recover(); p != "a fault of the host" {
			t.Errorf("Watch() panicked with %v, want the panic of fn", p)
		}
		mustComment(t, m) // nothing is left locked
	}()
	_ = m.Watch(t.Context(), "acme", func(incident.Changes) error { panic("a fault of the host") })
}

// fn may call the Manager and watch itself. A write in fn is told after it.
func TestWatch_functionMayWrite(t *testing.T) {
	m, _ := probed(t, nil)
	enough := errors.New("enough")
	n := 0
	err := m.Watch(t.Context(), "acme", func(c incident.Changes) error {
		if n++; n < 3 {
			mustComment(t, m)
			return nil
		}
		if len(c.Incidents) != 1 || c.Incidents[0] != numbers(1, 5) {
			t.Errorf("the third Changes is %+v, want activity 5", c)
		}
		return enough
	})
	if err != enough {
		t.Error(err)
	}
}

// A write with an unknown outcome is told, since it may have been written.
func TestWatch_tellsUnknownOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, nil)
		w := watchAcme(t, m)
		defer w.stop()
		w.wantResyncs(t, "at the beginning", 1)
		p.after = func(method string) error {
			if method == "Apply" {
				return incident.ErrUnknownOutcome
			}
			return nil
		}
		if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "x"}); !errors.Is(err, incident.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		w.wantTold(t, "after a comment with an unknown outcome", numbers(1, 4))
		if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}); !errors.Is(err, incident.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		w.wantResyncs(t, "after a creation with an unknown outcome", 1)
	})
}

// If the numbers of an incident cannot be read, the watcher must read everything again.
func TestWatch_resyncsIfItCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreadable{Store: memory.New()}
		m, err := incident.New(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustFire(t, m, "5%", incident.StatusWarning)
		w := watchAcme(t, m)
		defer w.stop()
		w.take()
		mustComment(t, m)
		w.wantResyncs(t, "if the store fails", 1)
	})
}

// unreadable is a store without activities.
type unreadable struct{ incident.Store }

func (*unreadable) Activities(context.Context, incident.Key, incident.ActivityQuery) (incident.ActivityLog, error) {
	return incident.ActivityLog{}, incident.ErrUnavailable
}

// Both processes are told once of a write of either.
func TestWatch_tellsAllProcesses(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		inA, inB := watchAcme(t, a), watchAcme(t, b)
		defer inA.stop()
		defer inB.stop()
		inA.wantResyncs(t, "at the beginning", 1)
		inB.wantResyncs(t, "at the beginning", 1)
		time.Sleep(100 * time.Millisecond)
		inA.take()
		inB.take()
		for i, write := range []func(){
			func() { mustComment(t, b) },
			func() { mustComment(t, a) },
		} {
			write()
			time.Sleep(50 * time.Millisecond)
			inA.wantTold(t, "50 ms after a comment", numbers(1, 4+int64(i)))
			inB.wantTold(t, "50 ms after a comment", numbers(1, 4+int64(i)))
			time.Sleep(time.Minute)
			inA.wantTold(t, "within a minute in which nothing happens")
		}
	})
}

// A comment of another process is told, and does not take the incident out of the cache.
func TestWatch_keepsCachedIncidents(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		w := watchAcme(t, a)
		defer w.stop()
		mustGet(t, a)
		w.take()
		mustComment(t, b)
		time.Sleep(50 * time.Millisecond)
		w.wantTold(t, "50 ms after a comment", numbers(1, 4))
		if !h.cached(t, a) {
			t.Error("a comment took the incident out of the cache")
		}
	})
}

// The feed is asked while somebody watches, with and without a cache, and otherwise not.
func TestWatch_keepsTheFeedAwake(t *testing.T) {
	for name, cache := range map[string]incident.Cache{"cache": nil, "no cache": incident.NoCache} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{Store: memory.New()}
				m, err := incident.New(h, &incident.Options{Cache: cache})
				if err != nil {
					t.Fatal(err)
				}
				p := &process{Manager: m}
				p.start(t)
				defer p.stop()
				mustFire(t, m, "5%", incident.StatusWarning)
				for range 3 {
					time.Sleep(2 * time.Second)
					asked := h.asked.Load()
					time.Sleep(time.Minute)
					if n := h.asked.Load() - asked; n > 0 {
						t.Errorf("within a minute in which nobody watches, the feed is asked %d times", n)
					}
					w := watchAcme(t, m)
					time.Sleep(time.Minute)
					if got := m.Stats().Feed.State; got != incident.FeedFollowing {
						t.Errorf("the feed is %s while somebody watches", got)
					}
					w.take()
					if _, err := h.Store.Activities(t.Context(), key, incident.ActivityQuery{Limit: 1}); err != nil {
						t.Fatal(err)
					}
					a := mustComment(t, m)
					time.Sleep(50 * time.Millisecond)
					w.wantTold(t, "50 ms after a comment", numbers(1, a.Sequence))
					w.stop()
				}
			})
		})
	}
}

// While the changes of other processes are not known, the watchers read everything every 5 s,
// and are told the writes of their process at once.
func TestWatch_withoutAFeed(t *testing.T) {
	fails := func(context.Context) error { return incident.ErrUnavailable }
	for name, end := range map[string]func(h *hub, a *process){
		"without Run":      func(_ *hub, a *process) { a.stop() },
		"with a lost feed": func(h *hub, _ *process) { h.fault.Store(&fails) },
	} {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				w := watchAcme(t, a)
				defer w.stop()
				end(h, a)
				time.Sleep(time.Second)
				w.take()
				mustComment(t, b)
				w.wantTold(t, "after a comment of another process")
				mustComment(t, a)
				w.wantTold(t, "after a comment", numbers(1, 5))
				time.Sleep(11 * time.Second)
				w.wantResyncs(t, "within 11 s", 2)
			})
		})
	}
}

// What happened while the feed was lost is told when it is back, and if it is no longer known, a
// resync is.
func TestWatch_afterAnOutage(t *testing.T) {
	fails := func(context.Context) error { return incident.ErrUnavailable }
	for name, outage := range map[string]struct {
		lasts  time.Duration
		resync bool
	}{
		"short":                     {3 * time.Second, false},
		"longer than the memory is": {incident.FeedMemory + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				w := watchAcme(t, a)
				defer w.stop()
				time.Sleep(time.Second)
				h.fault.Store(&fails)
				mustClose(t, b)
				time.Sleep(outage.lasts)
				w.take()
				h.fault.Store(nil)
				time.Sleep(50 * time.Millisecond)
				if outage.resync {
					w.wantResyncs(t, "after the outage", 1)
				} else {
					w.wantTold(t, "after the outage", numbers(2, 4))
				}
			})
		})
	}
}

// A store that starts over, as after a restore, is a resync. Lower versions are told after it.
func TestWatch_afterAReset(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustClose(t, b)
		w := watchAcme(t, a)
		defer w.stop()
		time.Sleep(time.Second)
		w.take()
		answer := func(c incident.FeedChanges) {
			c.Position = "0"
			var once sync.Once
			changed := func(context.Context, incident.FeedPosition) (answer incident.FeedChanges, err error) {
				answer.Position = "0"
				once.Do(func() { answer = c })
				return answer, nil
			}
			h.changed.Store(&changed)
			time.Sleep(50 * time.Millisecond)
		}
		answer(incident.FeedChanges{Reset: true})
		w.wantResyncs(t, "after a reset", 1)
		answer(incident.FeedChanges{Incidents: []incident.IncidentVersion{numbers(1, 3)}})
		w.wantTold(t, "after the resync", numbers(1, 3))
	})
}

// The watchers of a shared store without a feed read everything every 5 s.
func TestWatch_ofAStoreWithoutAFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := incident.New(&probe{Store: memory.New(), shared: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustFire(t, m, "5%", incident.StatusWarning)
		w := watchAcme(t, m)
		defer w.stop()
		w.wantResyncs(t, "at the beginning", 1)
		mustComment(t, m)
		w.wantTold(t, "after a comment", numbers(1, 4))
		time.Sleep(16 * time.Second)
		w.wantResyncs(t, "within 16 s", 3)
	})
}
