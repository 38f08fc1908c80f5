package incident_test

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// A feed requests nothing while nobody reads, and misses no wake-up.
func TestFeed_sleepsWithoutReaders(t *testing.T) {
	reads := map[string]func(t *testing.T, m incident.Manager){
		"Get":    func(t *testing.T, m incident.Manager) { mustGet(t, m) },
		"Active": func(t *testing.T, m incident.Manager) { mustActive(t, m) },
		"Fire":   func(t *testing.T, m incident.Manager) { mustFire(t, m, "5%", incident.StatusWarning) },
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				time.Sleep(2 * time.Second)
				asked := h.asked.Load()
				time.Sleep(time.Minute)
				if n := h.asked.Load() - asked; n > 0 {
					t.Errorf("within a minute in which nobody reads, the feed is asked %d times", n)
				}
				if got := a.Stats().Feed.State; got != incident.FeedAsleep {
					t.Errorf("the feed is %s when nobody has read for a minute", got)
				}
				read(t, a)
				time.Sleep(50 * time.Millisecond)
				read(t, a)
				if got := a.Stats().Feed; got.State != incident.FeedFollowing || got.Resets > 0 {
					t.Errorf("50 ms after a read the feed is %s, with %d resets", got.State, got.Resets)
				}
				mustGet(t, a)
				if !h.cached(t, a) {
					t.Error("a feed that was woken does not serve from the cache")
				}
			})
		})
	}
}

// An occasional reader is served the latest write, whether the feed sleeps, has just fallen
// asleep, or follows.
func TestFeed_servesOccasionalReaders(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 700 * time.Millisecond, 1010 * time.Millisecond, 1300 * time.Millisecond, 3 * time.Second} {
		t.Run(every.String(), func(t *testing.T) {
			twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
				for i := range 20 {
					mustGet(t, a)
					time.Sleep(every - 50*time.Millisecond)
					want := []incident.Status{incident.StatusCritical, incident.StatusWarning}[i%2]
					if _, err := b.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: want}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(50 * time.Millisecond)
					if got := mustGet(t, a); got.Status != want {
						t.Errorf("50 ms after it became %s the incident is %s", want, got.Status)
					}
				}
			})
		})
	}
}

// The feed does not fall asleep between two reads of a regular reader.
func TestFeed_staysAwake(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		mustGet(t, a)
		for range 20 {
			time.Sleep(900 * time.Millisecond)
			if !h.cached(t, a) {
				t.Fatal("an entry is not served to a reader who has read 0.9 s before")
			}
		}
	})
}

// A sleep ends with Run, and the next Run does not sleep before it has a position.
func TestFeed_sleepsThroughRuns(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		for range 3 {
			time.Sleep(5 * time.Second)
			a.stop()
			if got := a.Stats().Feed.State; got != incident.FeedStopped {
				t.Errorf("after Run the feed is %s", got)
			}
			a.start(t)
			time.Sleep(10 * time.Millisecond)
			if got := a.Stats().Feed.State; got != incident.FeedFollowing {
				t.Errorf("when Run begins the feed is %s", got)
			}
			mustGet(t, a)
			if !h.cached(t, a) {
				t.Error("when Run begins again, an entry is not served")
			}
		}
	})
	twoProcesses(t, func(t *testing.T, h *hub, _, _ *process) {
		fails := func(context.Context) error { return incident.ErrUnavailable }
		h.fault.Store(&fails)
		c := newProcess(t, h)
		defer c.stop()
		time.Sleep(time.Minute)
		h.fault.Store(nil)
		time.Sleep(100 * time.Millisecond)
		mustGet(t, c)
		time.Sleep(10 * time.Millisecond)
		mustGet(t, c)
		if !h.cached(t, c) {
			t.Error("a feed that began without a store does not serve from the cache")
		}
	})
}

// A position is used for a limited time. After that, the cache starts over.
func TestFeed_startsOverAfterItsMemory(t *testing.T) {
	for _, stops := range []bool{false, true} {
		twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
			mustGet(t, a)
			since := func(context.Context, incident.FeedPosition) (changes incident.FeedChanges, err error) {
				t.Error("the feed is asked from a position that is older than FeedMemory")
				return changes, incident.ErrUnavailable
			}
			if stops {
				a.stop()
			}
			time.Sleep(incident.FeedMemory + 2*time.Second)
			mustClose(t, b)
			time.Sleep(2 * time.Second)
			h.changed.Store(&since)
			if stops {
				a.start(t)
			}
			if got := mustGet(t, a); got.Status != incident.StatusClosed {
				t.Errorf("the incident is %s", got.Status)
			}
			time.Sleep(10 * time.Millisecond)
			h.changed.Store(nil)
			if got := mustGet(t, a); got.Status != incident.StatusClosed || a.Stats().Feed.Resets != 1 {
				t.Errorf("after %d resets the incident is %s", a.Stats().Feed.Resets, got.Status)
			}
		})
	}
}
