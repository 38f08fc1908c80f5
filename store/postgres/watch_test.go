//go:build unix

package postgres_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
)

// mustRun runs a Manager until the end of the test.
func mustRun(t *testing.T, m incident.Manager) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v, want no error", err)
		}
	})
}

// watching returns a check of two Managers of one database: only the watching Manager runs.
func watching(t *testing.T) managertest.Watching {
	t.Helper()
	s, url := newStore(t)
	w := managertest.Watching{
		Watcher: mustManager(t, s), Writer: mustManager(t, mustNew(t, mustOpen(t, url, 8), nil)),
		Observers: 4, Within: time.Minute,
	}
	mustRun(t, w.Watcher)
	return w
}

// Watchers are told the writes of all processes, comments and their revisions included.
func TestWatch(t *testing.T) {
	w := watching(t)
	w.Writes, w.Many = 100, 1010
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Without Run, watchers are told the writes of their own process.
func TestWatch_withoutRun(t *testing.T) {
	s, _ := newStore(t)
	m := mustManager(t, s)
	w := managertest.Watching{Watcher: m, Writer: m, Observers: 2, Writes: 50, Within: time.Minute}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A write of another process is told after 50 ms in the median. Delays are noisy, since a round is as
// short as a disturbance of the machine: the best of ten rounds counts.
func TestWatch_delay(t *testing.T) {
	var median time.Duration
	for range 10 {
		if median = watchDelay(t); median <= 50*time.Millisecond || t.Failed() {
			return
		}
	}
	t.Errorf("in the median watchers were told of a write after %v, want 50 ms", median)
}

// watchDelay returns the median of the delays of several checks. The checks run side by side, since
// each waits most of the time.
func watchDelay(t *testing.T) time.Duration {
	t.Helper()
	var mu sync.Mutex // guards delays
	var delays []time.Duration
	t.Run("checks", func(t *testing.T) {
		for i := range 5 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				var own []time.Duration
				w := watching(t)
				w.Observers, w.Delays = 1, &own
				if err := w.Check(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				delays = append(delays, own...)
			})
		}
	})
	if t.Failed() {
		return 0
	}
	if len(delays) == 0 {
		t.Fatal("no check has run")
	}
	slices.Sort(delays)
	t.Logf("%d writes were told after %v in the median, and after %v at most", len(delays), delays[len(delays)/2], delays[len(delays)-1])
	return delays[len(delays)/2]
}

// commentWatcher keeps the numbers of acme#1 as a watcher knows them.
type commentWatcher struct {
	mu      sync.Mutex // guards the fields below
	known   incident.IncidentVersion
	resyncs int
	foreign int
}

// watchComments returns a watcher that has begun.
func watchComments(t *testing.T, m incident.Manager) *commentWatcher {
	t.Helper()
	w := &commentWatcher{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- m.Watch(ctx, "acme", func(c incident.Changes) error {
			var stored incident.ActivityPage
			if c.Resync {
				var err error
				if stored, err = m.Activities(ctx, keyOf(1), incident.ActivityFilter{Descending: true, Limit: 1}); err != nil {
					return nil // during the outage
				}
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if c.Resync {
				w.resyncs++
				w.known.Activities = stored.Activities[0].Sequence
			}
			for _, v := range c.Incidents {
				if v.Key != keyOf(1) {
					w.foreign++
				}
				w.known = v
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch() = %v, want no error", err)
		}
	})
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, resyncs := w.now(); resyncs > 0 {
			return w
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("the watcher is not told a resync at the beginning")
		}
	}
}

func (w *commentWatcher) now() (known incident.IncidentVersion, resyncs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known, w.resyncs
}

// lastActivity returns the sequence of the last activity of acme#1.
func lastActivity(t *testing.T, m incident.Manager) int64 {
	t.Helper()
	page, err := m.Activities(t.Context(), keyOf(1), incident.ActivityFilter{Descending: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Activities[0].Sequence
}

// awaitActivity waits until a watcher knows the last activity that is stored.
func (w *commentWatcher) awaitActivity(t *testing.T, m incident.Manager) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		known, _ := w.now()
		want := lastActivity(t, m)
		switch {
		case known.Activities == want:
			return
		case time.Since(begun) > time.Minute:
			t.Fatalf("the watcher knows %+v, want activity %d", known, want)
		}
	}
}

func mustCommentOn(t *testing.T, m incident.Manager) {
	t.Helper()
	if _, err := m.Comment(t.Context(), keyOf(1), incident.NewComment{UserID: "ada", Comment: "Looking"}); err != nil {
		t.Fatal(err)
	}
}

// What is written while the watching process is cut off is told when its connections are back, without
// a resync. A server that is too busy to answer twice is a reason for a resync, but not five times.
func TestWatch_cut(t *testing.T) {
	t.Parallel()
	url := newTables(t)
	proxy := pgtest.NewProxy(t, url)
	other := mustManager(t, mustNew(t, mustOpen(t, url, 4), nil))
	mustBegin(t, other)
	m := mustManager(t, mustNew(t, mustOpen(t, proxy.URL(), 8), nil))
	mustRun(t, m)
	w := watchComments(t, m)
	for name, cut := range map[string]func(){
		"silent":  func() { proxy.Do(pgtest.Silence, 0, 1, 1_000_000) },
		"refused": proxy.Refuse,
	} {
		resyncs := 1
		for attempt := 0; resyncs > 0 && attempt < 5; attempt++ {
			mustCommentOn(t, other)
			w.awaitActivity(t, other)
			_, before := w.now()
			cut()
			time.Sleep(100 * time.Millisecond)
			mustCommentOn(t, other)
			time.Sleep(time.Second)
			proxy.Heal()
			w.awaitActivity(t, other)
			_, after := w.now()
			resyncs = after - before
		}
		if resyncs > 0 {
			t.Errorf("%s: each outage of a second was followed by resyncs, the last by %d", name, resyncs)
		}
	}
}

// commentOn comments on an incident until the process is killed.
func commentOn(ctx context.Context, m incident.Manager, key incident.Key) error {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = m.InTx(ctx, func(tx incident.Manager) error {
					_, err := tx.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Looking"})
					return err
				})
			}
		})
	}
	all.Wait()
	return nil
}

// The last commits of a process that is killed are told.
func TestWatch_killedWriter(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	m := mustManager(t, s)
	mustBegin(t, m)
	mustRun(t, m)
	w := watchComments(t, m)
	for range 3 {
		c := startChild(t, task{URL: url, Comments: true})
		begin := lastActivity(t, m)
		for deadline := time.Now().Add(2 * time.Minute); lastActivity(t, m) < begin+50; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the process makes no progress")
			}
		}
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.cmd.Wait() // it was killed
		for last := int64(0); last != lastActivity(t, m); time.Sleep(100 * time.Millisecond) {
			last = lastActivity(t, m) // the server may still commit
		}
		w.awaitActivity(t, m)
	}
	if w.foreign > 0 {
		t.Errorf("the watcher was told %d times of other incidents", w.foreign)
	}
}

// A commit of the host is told by the feed even if done is not called, and without Run by done.
func TestWatch_joined(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	mustBegin(t, m)
	join := func() (commit func() error, done func()) {
		hostTx, err := s.Pool().BeginTxx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tx, done, err := m.Join(s.Join(hostTx))
		if err != nil {
			t.Fatal(err)
		}
		mustCommentOn(t, tx)
		return hostTx.Commit, done
	}
	w := watchComments(t, m)
	commit, done := join()
	mustDo(t, commit())
	if known, _ := w.now(); known.Activities == lastActivity(t, m) {
		t.Errorf("without Run, %+v was told before done", known)
	}
	done()
	w.awaitActivity(t, m)
	mustRun(t, m)
	for range 2 {
		commit, done = join()
		defer done()
		mustDo(t, commit())
		w.awaitActivity(t, m)
	}
}
