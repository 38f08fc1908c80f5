package sqlite_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// A transaction of the only writer delays no read, and reads that wait for the only reader leave
// when their context ends.
func TestReaders(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), &sqlite.Options{Readers: 1})
	n := mustCreate(t, s, "x")
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		if _, err := create(t.Context(), tx, "y"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a read that waits for the transaction waits for ever
		defer cancel()
		if _, err := s.Load(ctx, incident.Key{OrganizationID: "acme", Identifier: n}); err != nil {
			t.Errorf("Load() during a transaction = %v, want nil", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
				_, _ = s.Incidents(ctx, incident.IncidentQuery{OrganizationID: "acme", Limit: 100}) // it may be in time
				cancel()
			}
		})
	}
	all.Wait()
	if page, err := s.Incidents(t.Context(), incident.IncidentQuery{OrganizationID: "acme", Limit: 100}); err != nil || len(page) != 2 {
		t.Errorf("after reads that were interrupted, Incidents() = %d incidents, %v; want 2", len(page), err)
	}
}
