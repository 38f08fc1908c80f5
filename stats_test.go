package incident_test

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestStats_cache(t *testing.T) {
	m, _ := fixture(t)
	before := m.Stats()
	for range 3 {
		mustGet(t, m)
	}
	got := m.Stats()
	if hits, misses := got.CacheHits-before.CacheHits, got.CacheMisses-before.CacheMisses; hits != 2 || misses != 1 {
		t.Errorf("three reads of an incident are %d hits and %d misses, want 2 and 1", hits, misses)
	}
	if got.CacheBypassed != 0 || got.Feed != (incident.FeedStats{}) {
		t.Errorf("a store of the process alone has %+v", got)
	}
	none, err := incident.New(memory.New(), &incident.Options{Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	mustFire(t, none, "5%", incident.StatusWarning)
	mustGet(t, none)
	if got := none.Stats(); !reflect.DeepEqual(got, incident.Stats{}) {
		t.Errorf("without a cache the counters are %+v", got)
	}
}

// The state of the feed tells whether the cache is served.
func TestStats_feed(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		want := func(state incident.FeedState, lag time.Duration) {
			t.Helper()
			if got := a.Stats().Feed; got.State != state || got.Lag > lag || (got.Lag > 0) != (lag > 0) {
				t.Errorf("the feed is %s, %v behind; want %s, at most %v", got.State, got.Lag, state, lag)
			}
		}
		want(incident.FeedFollowing, 40*time.Millisecond)
		told, stale := a.Stats().Feed.Told, a.Stats().StaleDrops
		mustGet(t, a)
		mustClose(t, b)
		time.Sleep(50 * time.Millisecond)
		if got := a.Stats(); got.Feed.Told != told+2 || got.StaleDrops != stale+1 {
			t.Errorf("after a change of an incident and its slot %d are told and %d entries dropped, want 2 and 1",
				got.Feed.Told-told, got.StaleDrops-stale)
		}
		fails := func(context.Context) error { return incident.ErrUnavailable }
		h.fault.Store(&fails)
		time.Sleep(300 * time.Millisecond)
		want(incident.FeedFollowing, 400*time.Millisecond)
		time.Sleep(time.Second)
		want(incident.FeedLost, 0)
		bypassed := a.Stats().CacheBypassed
		mustGet(t, a)
		if got := a.Stats().CacheBypassed; got != bypassed+1 {
			t.Errorf("without a feed %d look-ups are bypassed, want 1", got-bypassed)
		}
		h.fault.Store(nil)
		time.Sleep(50 * time.Millisecond)
		want(incident.FeedFollowing, 40*time.Millisecond)
		time.Sleep(2 * time.Second)
		want(incident.FeedAsleep, 0)
		a.wake(t)
		want(incident.FeedFollowing, 40*time.Millisecond)
		a.stop()
		want(incident.FeedStopped, 0)
	})
}

// Calls that share a load are counted: reads, and writes that change nothing.
func TestStats_loadsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{Store: memory.New(), shared: true}
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustFire(t, m, "5%", incident.StatusWarning)
		var slow atomic.Bool
		p.after = func(called string) error {
			if called == "LoadSlot" && !slow.Swap(true) {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { mustFire(t, m, "5%", incident.StatusWarning) })
			synctest.Wait()
		}
		all.Wait()
		if got := m.Stats().LoadsShared; got != 4 {
			t.Errorf("%d of 5 firings have shared a load, want 4", got)
		}
	})
}

// A bypassed cache is logged once.
func TestStats_bypassIsLogged(t *testing.T) {
	twoProcesses(t, func(t *testing.T, h *hub, a, b *process) {
		a.stop()
		for range 3 {
			mustGet(t, a)
		}
		if n := strings.Count(a.log.String(), "is bypassed"); n != 1 {
			t.Errorf("the log says %d times that the cache is bypassed, want once: %s", n, a.log)
		}
	})
}

func TestFeedState_String(t *testing.T) {
	for state, want := range map[incident.FeedState]string{
		incident.FeedNone: "none", incident.FeedStopped: "stopped", incident.FeedLost: "lost", incident.FeedFollowing: "following",
		incident.FeedAsleep: "asleep", 9: "FeedState(9)",
	} {
		if got := state.String(); got != want {
			t.Errorf("FeedState %d is %q, want %q", int(state), got, want)
		}
	}
}
