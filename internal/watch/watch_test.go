package watch

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type hub = Hub[string, int, int64]

const limit = 100

func newHub() *hub {
	return New[string, int](limit, func(older, newer int64) int64 { return max(older, newer) })
}

// watching registers a watcher that has been told of the beginning.
func watching(t *testing.T, h *hub, topic string) *Watcher[string, int, int64] {
	t.Helper()
	w := h.Watch(topic)
	t.Cleanup(w.Close)
	wantMissed(t, w)
	return w
}

func wantMissed(t *testing.T, w *Watcher[string, int, int64]) {
	t.Helper()
	changes, missed, ok := w.Next(t.Context(), nil, nil)
	if !ok || !missed || len(changes) > 0 {
		t.Errorf("Next() = %v, missed %v, %v; want missed changes", changes, missed, ok)
	}
}

func wantChanges(t *testing.T, w *Watcher[string, int, int64], want ...Change[int, int64]) {
	t.Helper()
	changes, missed, ok := w.Next(t.Context(), nil, nil)
	if !ok || missed || !slices.Equal(changes, want) {
		t.Errorf("Next() = %v, missed %v, %v; want %v", changes, missed, ok, want)
	}
}

func wantNothing(t *testing.T, w *Watcher[string, int, int64]) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if changes, dropped, _ := w.take(); dropped || len(changes) > 0 {
		t.Errorf("there are changes %v, dropped %v; want none", changes, dropped)
	}
	if changes, missed, ok := w.Next(ctx, nil, nil); ok {
		t.Errorf("Next() = %v, missed %v after its context has ended, want false", changes, missed)
	}
}

func TestWatcher_gathersChanges(t *testing.T) {
	h := newHub()
	w, other, foreign := watching(t, h, "acme"), watching(t, h, "acme"), watching(t, h, "umbrella")
	h.Changed("acme", 2, 20)
	h.Changed("acme", 1, 10)
	h.Changed("acme", 2, 19)
	wantChanges(t, w, Change[int, int64]{1, 10}, Change[int, int64]{2, 20})
	h.Changed("acme", 1, 11)
	wantChanges(t, w, Change[int, int64]{1, 11})
	wantChanges(t, other, Change[int, int64]{1, 11}, Change[int, int64]{2, 20})
	wantNothing(t, w)
	wantNothing(t, other)
	wantNothing(t, foreign)
}

func TestWatcher_missesBeyondTheLimit(t *testing.T) {
	h := newHub()
	slow, fast := watching(t, h, "acme"), watching(t, h, "acme")
	for i := range limit {
		h.Changed("acme", i, 1)
		h.Changed("acme", 0, int64(i)) // the same key again needs no room
		if _, missed, ok := fast.Next(t.Context(), nil, nil); missed || !ok {
			t.Fatalf("a watcher that reads each change has missed change %d", i)
		}
	}
	h.Changed("acme", limit, 1)
	wantMissed(t, slow)
	wantChanges(t, fast, Change[int, int64]{limit, 1})
	h.Changed("acme", 1, 2)
	wantChanges(t, slow, Change[int, int64]{1, 2})
	wantChanges(t, fast, Change[int, int64]{1, 2})
}

func TestWatcher_doesNotMissAtTheLimit(t *testing.T) {
	h := newHub()
	w := watching(t, h, "acme")
	for range 3 {
		var want []Change[int, int64]
		for i := range limit {
			h.Changed("acme", i, 7)
			want = append(want, Change[int, int64]{i, 7})
		}
		wantChanges(t, w, want...)
	}
}

func TestHub_missed(t *testing.T) {
	h := newHub()
	w, foreign := watching(t, h, "acme"), watching(t, h, "umbrella")
	h.Changed("acme", 1, 10)
	h.Changed("acme", 2, 10)
	h.Missed("acme")
	h.Changed("acme", 1, 5) // of a store that went back
	wantMissed(t, w)
	h.Changed("acme", 2, 6)
	wantChanges(t, w, Change[int, int64]{2, 6})
	wantNothing(t, foreign)
	h.MissedAll()
	wantMissed(t, w)
	wantMissed(t, foreign)
}

func TestHub_forgetsWhatAllHaveRead(t *testing.T) {
	h := newHub()
	w := h.Watch("acme")
	for i := range 10_000 {
		h.Changed("acme", i, 1)
		w.take()
		if n := w.topic.order.Len(); n > leastPrune+1 || len(w.topic.byKey) != n {
			t.Fatalf("the record keeps %d changes, and %d keys, that everybody has read", n, len(w.topic.byKey))
		}
	}
	if !h.Watched() {
		t.Error("Watched() = false with a watcher")
	}
	w.Close()
	if h.Watched() || len(h.topics) > 0 {
		t.Errorf("without a watcher there are %d topics", len(h.topics))
	}
	h.Changed("acme", 1, 1)
	h.Missed("acme")
	if len(h.topics) > 0 {
		t.Error("a change without a watcher is recorded")
	}
}

func TestWatcher_asksAtEachTick(t *testing.T) {
	h := newHub()
	w := watching(t, h, "acme")
	tick := make(chan time.Time, 1)
	blind := false
	ask := func() bool { return blind }
	tick <- time.Now()
	h.Changed("acme", 1, 1)
	if _, missed, _ := w.Next(t.Context(), tick, ask); missed {
		t.Error("a watcher has missed changes although it is not blind")
	}
	blind = true
	tick <- time.Now()
	h.Changed("acme", 1, 2) // a tick is noticed even if there are changes
	if _, missed, _ := w.Next(t.Context(), tick, ask); !missed {
		t.Error("a blind watcher has not missed changes")
	}
	wantNothing(t, w)
}

// Each change wakes all idle watchers, and no writer waits for them.
func TestHub_wakesIdleWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var told atomic.Int64
		for range 1000 {
			all.Go(func() {
				w := h.Watch("acme")
				defer w.Close()
				for _, _, ok := w.Next(ctx, nil, nil); ok; _, _, ok = w.Next(ctx, nil, nil) {
					told.Add(1)
				}
			})
		}
		for i := range 10 {
			synctest.Wait()
			if n := told.Swap(0); n != 1000 {
				t.Fatalf("change %d is told %d times, want 1000", i, n)
			}
			h.Changed("acme", i, 1)
		}
		synctest.Wait()
		cancel()
		all.Wait()
	})
}

// truth is the stored values of a topic.
type truth struct {
	mu     sync.Mutex // guards values
	values map[int]int64
}

func (s *truth) write(key int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key]++
	return s.values[key]
}

func (s *truth) read() map[int]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values)
}

// follow keeps a copy of the values as a watcher, until caughtUp returns true for it.
func follow(ctx context.Context, h *hub, topic string, s *truth, slow bool, caughtUp func(map[int]int64) bool) {
	w := h.Watch(topic)
	defer w.Close()
	known := map[int]int64{}
	for {
		changes, missed, ok := w.Next(ctx, nil, nil)
		if !ok {
			return
		}
		if missed {
			known = s.read()
		}
		for _, c := range changes {
			// Writers overtake each other between write and report.
			known[c.Key] = max(known[c.Key], c.Value)
		}
		if caughtUp(known) {
			return
		}
		if slow {
			time.Sleep(rand.N(3 * time.Millisecond))
		}
	}
}

// After the last write, every watcher comes to know the last value of each key, however slow it
// is and whenever it came.
func TestHub_stress(t *testing.T) {
	const topics, writers, watchers, writes = 3, 4, 20, 2000
	h := newHub()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var writing, watching sync.WaitGroup
	var final atomic.Bool
	var stores [topics]*truth
	for n := range topics {
		s, topic := &truth{values: map[int]int64{}}, fmt.Sprint("topic ", n)
		stores[n] = s
		for range writers {
			writing.Go(func() {
				for n := range writes {
					if n%100 == 0 {
						time.Sleep(rand.N(3 * time.Millisecond)) // some watchers become idle
					}
					key := rand.IntN(3 * limit)
					value := s.write(key)
					h.Changed(topic, key, value)
				}
			})
		}
		for i := range watchers {
			watching.Go(func() {
				time.Sleep(rand.N(10 * time.Millisecond))
				follow(ctx, h, topic, s, i%2 == 0, func(known map[int]int64) bool {
					if !final.Load() {
						return false
					}
					want := s.read()
					for key, value := range known {
						if value > want[key] {
							t.Errorf("%s: key %d has value %d, which is above %d", topic, key, value, want[key])
						}
					}
					return maps.Equal(known, want)
				})
			})
		}
	}
	writing.Wait()
	final.Store(true)
	for n := range topics {
		h.Changed(fmt.Sprint("topic ", n), 0, stores[n].write(0))
	}
	watching.Wait()
	if ctx.Err() != nil {
		t.Error("a watcher does not know the last values")
	}
}
