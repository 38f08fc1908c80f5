package incident_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// restore gives the hub the data of another history, and lets its feed report that.
func (h *hub) restore(t *testing.T, title string) {
	t.Helper()
	past := memory.New()
	m, err := incident.New(past, nil)
	if err == nil {
		_, err = m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: title})
	}
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.Store, h.log = past, nil
	h.mu.Unlock()
	done := false
	reset := func(context.Context, incident.FeedPosition) (incident.FeedChanges, error) {
		if !done {
			done = true
			return incident.FeedChanges{Position: "0", Reset: true}, nil
		}
		return incident.FeedChanges{Position: "0"}, nil
	}
	h.changed.Store(&reset)
}

// Data that a store has lost is no longer served, however high its version was. New data with
// the same identifier is.
func TestFeed_resetEndsAllEntries(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		for range 5 {
			mustFire(t, b, "20%", incident.StatusCritical)
			mustFire(t, b, "20%", incident.StatusWarning)
		}
		time.Sleep(50 * time.Millisecond)
		mustActive(t, a)
		if mustGet(t, a).Version < 5 || !h.cached(t, a) {
			t.Fatal("the test shows nothing")
		}
		b.stop()
		h.restore(t, "Another one")
		time.Sleep(50 * time.Millisecond)
		for range 3 {
			if got := mustGet(t, a); got.Title != "Another one" || got.Version != 1 {
				t.Errorf("version %d of %q is served, which the store has lost", got.Version, got.Title)
			}
			if mustActive(t, a) {
				t.Error("the slot is taken as it was before")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !h.cached(t, a) {
			t.Error("the cache is not used any more")
		}
		if got := a.Stats().Feed; got.Resets != 1 || got.State != incident.FeedFollowing {
			t.Errorf("the feed is %s after %d resets, want following after 1", got.State, got.Resets)
		}
	})
}

// Neither a load that began before a reset nor a write that the old server acknowledged leaves
// anything in the cache.
func TestFeed_resetLeavesNoValueOfEarlierCalls(t *testing.T) {
	calls := map[string]struct {
		method string
		call   func(ctx context.Context, m incident.Manager) error
	}{
		"load":        {"Load", func(ctx context.Context, m incident.Manager) error { return only(m.Get(ctx, key)) }},
		"load a slot": {"LoadSlot", func(ctx context.Context, m incident.Manager) error { _, _, err := m.Active(ctx, slot); return err }},
		"write": {"Apply", func(ctx context.Context, m incident.Manager) error {
			return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed}))
		}},
		"create": {"Apply", func(ctx context.Context, m incident.Manager) error {
			return only(m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Lost"}))
		}},
		"fire": {"Apply", func(ctx context.Context, m incident.Manager) error {
			return only(m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "new", Severity: incident.StatusCritical, Title: "Lost"}))
		}},
		"transaction": {"InTx", func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				return only(tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed}))
			})
		}},
	}
	for name, c := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{Store: memory.New()}
				p := &probe{Store: h, shared: true}
				a := newProcessOf(t, &slowFeed{probe: p, hub: h})
				defer a.stop()
				time.Sleep(10 * time.Millisecond)
				mustFire(t, a, "5%", incident.StatusWarning)
				p.delayOnce(c.method)
				if c.method == "InTx" {
					p.ended = func() { time.Sleep(time.Second) }
				}
				ended := make(chan error)
				go func() { ended <- c.call(t.Context(), a) }()
				synctest.Wait()
				h.restore(t, "Another one")
				time.Sleep(50 * time.Millisecond)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				p.after, p.ended = nil, nil
				for id := int64(1); id <= 2; id++ {
					for range 40 {
						got, err := a.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: id})
						if id == 1 && (err != nil || got.Title != "Another one" || got.Status == incident.StatusClosed) {
							t.Fatalf("after a reset %+v is served, %v", got, err)
						}
						if id == 2 && !errors.Is(err, incident.ErrNotFound) {
							t.Fatalf("after a reset %q is served, %v", got.Title, err)
						}
						if mustActive(t, a) {
							t.Fatal("after a reset the slot is taken as it was before")
						}
						time.Sleep(50 * time.Millisecond)
					}
				}
				mustGet(t, a)
				if !h.cached(t, a) {
					t.Error("the cache is not used any more")
				}
			})
		})
	}
}

// If the store answers but cannot return the changes, the feed starts over from the present
// position. It does not start over because an answer is late.
func TestFeed_startsOverWithoutChanges(t *testing.T) {
	faults := map[string]func(ctx context.Context) error{
		"takes too long": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"fails":          func(context.Context) error { return incident.ErrInvalid },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				mustGet(t, a)
				h.mu.Lock()
				before := incident.FeedPosition(strconv.Itoa(len(h.log)))
				h.mu.Unlock()
				backlog := func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
					if since == before {
						return incident.FeedChanges{}, fault(ctx)
					}
					return incident.FeedChanges{Position: since}, nil
				}
				h.changed.Store(&backlog)
				mustClose(t, b)
				time.Sleep(800 * time.Millisecond)
				for range 25 {
					if got := mustGet(t, a); got.Status != incident.StatusClosed || mustActive(t, a) {
						t.Fatalf("an incident that was closed 0.8 s before is served as %s", got.Status)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if got := a.Stats().Feed; got.Resets != 1 || got.State != incident.FeedFollowing || !h.cached(t, a) {
					t.Errorf("the feed is %s after %d resets, or nothing is served from the cache", got.State, got.Resets)
				}
			})
		})
	}
	t.Run("once", func(t *testing.T) {
		twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
			mustGet(t, a)
			hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			h.fault.Store(&hangs)
			time.Sleep(5 * time.Second)
			h.fault.Store(nil)
			time.Sleep(2 * time.Second)
			a.wake(t)
			if n := a.Stats().Feed.Resets; n != 0 || !h.cached(t, a) {
				t.Errorf("after an outage the cache has started over %d times", n)
			}
		})
	})
}

// Once the feed has failed, no write is decided on an entry whose version the store may have
// lost and counted again, although reads are still served.
func TestFeed_failureEndsDecisionsOnEntries(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustFire(t, b, "20%", incident.StatusCritical) // version 2
		time.Sleep(50 * time.Millisecond)
		if got := mustGet(t, a); got.Version != 2 {
			t.Fatalf("the incident has version %d", got.Version)
		}
		b.stop()
		fails := func(context.Context) error { return incident.ErrUnavailable }
		h.fault.Store(&fails)
		time.Sleep(50 * time.Millisecond)
		h.restore(t, "Another one")
		other, err := incident.New(h.Store, nil)
		if err == nil {
			_, err = other.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusWarning}) // version 2 again
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, a); got.Status != incident.StatusCritical {
			t.Fatal("the test shows nothing: the entry is not served any more")
		}
		if _, err := a.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
		st, err := h.Load(t.Context(), key)
		if err != nil || st.Incident.Title != "Another one" {
			t.Errorf("a write was decided on data that the store has lost: it has %+v, %v", st.Incident, err)
		}
	})
}

// A store that only this process writes to has no feed. A read for a write, and an identifier
// that is given again, show that such a store has lost data.
func TestCache_noticesLostCommits(t *testing.T) {
	notices := map[string]func(t *testing.T, m incident.Manager) error{
		"an update": func(t *testing.T, m incident.Manager) error {
			return only(m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed}))
		},
		"an update that changes nothing": func(t *testing.T, m incident.Manager) error {
			return only(m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical}))
		},
		"an update of what is gone": func(t *testing.T, m incident.Manager) error {
			gone := incident.Key{OrganizationID: "acme", Identifier: 2}
			if err := only(m.UpdateStatus(t.Context(), gone, incident.StatusUpdate{Status: incident.StatusClosed})); !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("UpdateStatus() of a lost incident = %v, want ErrNotFound", err)
			}
			return nil
		},
		"a creation": func(t *testing.T, m incident.Manager) error {
			return only(m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Anew"}))
		},
	}
	for name, notice := range notices {
		t.Run(name, func(t *testing.T) {
			past := &hub{Store: memory.New()}
			p := &probe{Store: past}
			m, err := incident.New(p, nil)
			if err != nil {
				t.Fatal(err)
			}
			mustFire(t, m, "5%", incident.StatusWarning)
			mustFire(t, m, "20%", incident.StatusCritical)
			r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Lost"})
			if err == nil {
				_, err = m.UpdateStatus(t.Context(), r.Key(), incident.StatusUpdate{Status: incident.StatusWarning})
			}
			if err != nil {
				t.Fatal(err)
			}
			past.restore(t, "Another one")
			if got := mustGet(t, m); got.Title == "Another one" {
				t.Fatal("the test shows nothing: the entry is not served any more")
			}
			if err := notice(t, m); err != nil {
				t.Fatal(err)
			}
			if got := mustGet(t, m); got.Title != "Another one" {
				t.Errorf("after %s %q is served, which the store has lost", name, got.Title)
			}
			if got, err := m.Get(t.Context(), r.Key()); got.Title == "Lost" {
				t.Errorf("after %s %q is served, which the store has lost, %v", name, got.Title, err)
			}
			if mustActive(t, m) {
				t.Errorf("after %s the slot is taken as it was before", name)
			}
			if n := m.Stats().Feed.Resets; n != 1 {
				t.Errorf("after %s the cache has started over %d times", name, n)
			}
		})
	}
}
