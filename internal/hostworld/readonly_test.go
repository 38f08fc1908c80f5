package hostworld_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
)

// eachDriver runs a test over each driver and wrapper.
func eachDriver(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	for _, w := range worlds {
		if w.bouncer == nil && w.conns > 1 {
			t.Run(w.name, func(t *testing.T) { test(t, w) })
		}
	}
}

// After a failover the pool may hold connections that are read-only by default. The store
// replaces them, and the call succeeds.
func TestReadOnlyLeftovers(t *testing.T) {
	eachDriver(t, func(t *testing.T, w world) {
		w.conns = 3
		s := w.stores(t)(t)
		m := mustManager(t, s)
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"Create": func() error {
				_, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Slow"})
				return err
			},
			"Comment": func() error {
				_, err := m.Comment(t.Context(), r.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"})
				return err
			},
			"InTx": func() error {
				return m.InTx(t.Context(), func(tx incident.Manager) error {
					_, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Slow"})
					return err
				})
			},
		}
		for name, call := range calls {
			for range w.conns { // all at the same time
				conn, err := s.Pool().Connx(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.ExecContext(t.Context(), "SET default_transaction_read_only = on"); err != nil {
					t.Fatal(err)
				}
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// When its context ends, a call cancels its statement, so that the server does not
// execute it later.
func TestContextEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, w world) {
		url := pgtest.NewDatabase(t)
		admin := world{open: openPQ, conns: 2}.mustMigrate(t, url)
		m := mustManager(t, mustNew(t, w.mustOpen(t, url), nil))
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			t.Fatal(err)
		}
		tx := admin.MustBegin()
		tx.MustExec("UPDATE incident SET version = version")
		given := ""
		for attempt := 1; attempt <= 5; attempt++ {
			given = fmt.Sprint("Hm ", attempt)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: given})
			cancel()
			if !errors.Is(err, incident.ErrUnknownOutcome) {
				break // otherwise the machine was too busy to answer in time
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, incident.ErrUnknownOutcome) {
			t.Errorf("Comment() that waits until its context ends = %v", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Comment(t.Context(), r.Key(), incident.NewComment{UserID: "ada", Comment: "Again"}); err != nil {
			t.Error(err)
		}
		log, err := m.Activities(t.Context(), r.Key(), incident.ActivityFilter{})
		if err != nil {
			t.Fatal(err)
		}
		comments := 0
		for _, a := range log.Activities {
			if a.Comment == given {
				comments++
			}
		}
		if comments != 0 {
			t.Errorf("%d comments were written that the call had given up", comments)
		}
	})
}
