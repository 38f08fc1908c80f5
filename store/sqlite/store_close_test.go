package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// A closed store returns an error to every call.
func TestStore_closed(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), newPath(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := mustCreate(t, s, "x")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	_, err = load(s, n)
	wantError(t, "Load() of a closed store", err, "closed", incident.ErrUnavailable)
	_, err = create(t.Context(), s, "y")
	wantError(t, "Apply() to a closed store", err, "closed", incident.ErrUnavailable)
	err = s.InTx(t.Context(), func(incident.Store) error { return nil })
	wantError(t, "InTx() of a closed store", err, "closed", incident.ErrUnavailable)
}

// Close waits for the writes that wait, and any number of calls of Close may run at a time. Each
// write is acknowledged and there, or refused and not there.
func TestStore_closedWhileWritesWait(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for round := range 5 {
		s, err := sqlite.Open(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		release := holdWriteLock(t, path)
		var mu sync.Mutex
		var all sync.WaitGroup
		outcomes := map[string]error{}
		for i := range 16 {
			all.Go(func() {
				title := fmt.Sprintf("%d of round %d", i, round)
				_, err := create(context.Background(), s, title)
				mu.Lock()
				defer mu.Unlock()
				outcomes[title] = err
			})
			if i%4 == 3 {
				all.Go(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Go(func() {
			_ = s.InTx(context.Background(), func(tx incident.Store) error { return nil }) // or it is closed
		})
		time.Sleep(10 * time.Millisecond)
		release()
		all.Wait()
		for title, err := range outcomes {
			if err != nil {
				wantError(t, "Apply() to a store that is being closed", err, "the store is closed", incident.ErrUnavailable)
			}
			if n := count(t, path, fmt.Sprintf("SELECT count(*) FROM incident WHERE title = '%s'", title)); (n == 1) != (err == nil) || n > 1 {
				t.Errorf("there are %d incidents %q, and Apply() returned %v", n, title, err)
			}
		}
	}
}

// Calls of Close at the same time end.
func TestStore_closedTogether(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for range 20 {
		s, err := sqlite.Open(t.Context(), path, &sqlite.Options{Readers: 64})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			all.Go(func() {
				<-start
				if err := s.Close(); err != nil {
					t.Errorf("Close() = %v, want nil", err)
				}
			})
		}
		close(start)
		all.Wait()
	}
}
