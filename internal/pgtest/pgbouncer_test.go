package pgtest_test

import (
	"testing"

	"github.com/incidentkit/incident/internal/pgtest"
)

// A client's transactions may use different connections of the server.
func TestNewPgBouncer_poolsTransactions(t *testing.T) {
	through := pgtest.NewPgBouncer(t, pgtest.NewDatabase(t), "default_pool_size = 2")
	db := open(t, through)
	db.SetMaxOpenConns(1)
	other := open(t, through)
	backends := map[int]bool{}
	for range 2 {
		pid := 0
		if err := db.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		backends[pid] = true
		tx, err := other.Begin() // takes the most recently used connection
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // nothing was written
		if _, err := tx.Exec("SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	if len(backends) != 2 {
		t.Errorf("two transactions of a client had %d connections, want 2", len(backends))
	}
}
