package hostworld_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

// Several Managers in the process write and read, except a read-only Manager. They share
// nothing but the pool, and follow each other.
func TestTogether(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		length := 500 * time.Millisecond
		if long {
			length = 4 * time.Second
		}
		s := w.stores(t)(t)
		managers := runManagers(t, s, 3)
		if err := managertest.OpenTogether(t.Context(), managers[0]); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), length+2*time.Minute)
		defer cancel()
		var mu sync.Mutex // guards ops
		var ops []managertest.Operation
		var all sync.WaitGroup
		for i, m := range managers {
			all.Go(func() {
				err := managertest.TogetherWorker{
					Manager: m, Process: i, ReadsOnly: i == 2,
					Emit: func(o managertest.Operation) {
						mu.Lock()
						defer mu.Unlock()
						ops = append(ops, o)
					},
				}.Run(ctx)
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(length)
		for !hasBoth(&mu, &ops) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		all.Wait()
		report, err := managertest.CheckTogether(t.Context(), managers[0], s, ops, t.ArtifactDir())
		if err != nil {
			t.Error(err)
		}
		if report.Reads == 0 || report.Writes == 0 {
			t.Errorf("%+v: the history has nothing in it", report)
		}
	})
}

// hasBoth reports whether operations read and wrote.
func hasBoth(mu *sync.Mutex, ops *[]managertest.Operation) bool {
	mu.Lock()
	defer mu.Unlock()
	written, cached := 0, 0
	for _, o := range *ops {
		switch {
		case o.Wrote():
			written++
		case o.Cached():
			cached++
		}
	}
	return written > 20 && cached > 10
}

// runManagers returns Managers that follow each other until the end of the test.
func runManagers(t *testing.T, s *postgres.Store, n int) []incident.Manager {
	t.Helper()
	managers := make([]incident.Manager, n)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	for i := range managers {
		managers[i] = mustManager(t, s)
		all.Go(func() { _ = managers[i].Run(ctx) }) // ends with its context
	}
	return managers
}
