package postgres_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A connection that has outlived a failover may stay read-only. It is replaced.
func TestStore_readOnlyLeftovers(t *testing.T) {
	t.Parallel()
	u := newTables(t)
	for _, unprepared := range []bool{false, true} {
		for _, w := range writes() {
			t.Run(fmt.Sprint(w.name, "/unprepared ", unprepared), func(t *testing.T) {
				pool := mustOpen(t, u+"&binary_parameters=yes", 4)
				m := mustManager(t, mustNew(t, pool, &postgres.Options{Unprepared: unprepared}))
				empty := func() { mustExec(t, mustOpen(t, u, 1), deleteAllSQL) }
				empty()
				if err := w.call(t.Context(), m, mustBegin(t, m)); err != nil {
					t.Fatal(err)
				}
				empty()
				key := mustBegin(t, m)
				onAll(t, pool, "SET default_transaction_read_only = on")
				err := w.call(t.Context(), m, key)
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// onAll runs a command on all connections of a pool.
func onAll(t *testing.T, pool *sqlx.DB, command string) {
	t.Helper()
	for range 4 {
		conn, err := pool.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(t.Context(), command); err != nil {
			t.Fatal(err)
		}
	}
}

// No transaction of the library overrides a read-only default of the host.
func TestStore_readOnlyByDefault(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(newTables(t))
	if err != nil {
		t.Fatal(err)
	}
	admin := mustOpen(t, u.String(), 1)
	before := mustManager(t, mustNew(t, mustOpen(t, u.String(), 4), nil))
	key := mustBegin(t, before)
	admin.MustExec("ALTER DATABASE " + u.Path[1:] + " SET default_transaction_read_only = on")
	m := mustManager(t, mustNew(t, mustOpen(t, u.String(), 4), nil))
	for _, w := range writes() {
		wantRemedy(t, w.call(t.Context(), m, key), incident.ErrUnavailable, "default_transaction_read_only")
	}
	var all sync.WaitGroup
	for i := range 8 { // as a group commit
		all.Go(func() {
			_, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: fmt.Sprint("Down ", i), UserID: "ada"})
			wantRemedy(t, err, incident.ErrUnavailable, "default_transaction_read_only")
		})
	}
	all.Wait()
	if _, err := m.Get(t.Context(), key); err != nil {
		t.Errorf("a read ends with %v", err)
	}
	err = m.InTx(t.Context(), func(tx incident.Manager) error { return only(tx.SeenBy(t.Context(), key)) })
	if err != nil {
		t.Errorf("a transaction that reads ends with %v", err)
	}
	page, err := before.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil || len(page.Incidents) != 1 {
		t.Errorf("there are %d incidents and error %v, want 1", len(page.Incidents), err)
	}
}
