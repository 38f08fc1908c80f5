package postgres_test

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A call passes over every dead connection of the pool, including connections that others
// return to the pool during the call.
func TestStore_callsPassDeadConnections(t *testing.T) {
	t.Parallel()
	const conns = 24
	url := newTables(t)
	admin, pool := mustOpen(t, url, 1), mustOpen(t, url, conns)
	m := mustManager(t, mustNew(t, pool, nil))
	key := mustBegin(t, m)
	for name, call := range map[string]func() error{
		"List": func() error { return only(m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})) },
		"Comment": func() error {
			return only(m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm"}))
		},
		"InTx": func() error {
			return m.InTx(t.Context(), func(tx incident.Manager) error { return only(tx.SeenBy(t.Context(), key)) })
		},
	} {
		for range 3 {
			passDead(t, admin, pool, conns, name, call)
		}
	}
}

// passDead makes a call while dead connections are returned to the pool.
func passDead(t *testing.T, admin, pool *sqlx.DB, conns int, name string, call func() error) {
	t.Helper()
	var borrowed []*sqlx.Conn
	for range conns {
		conn, err := pool.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		borrowed = append(borrowed, conn)
	}
	const terminateSQL = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'`
	for left := 1; left > 0; {
		if err := admin.Get(&left, terminateSQL); err != nil {
			t.Fatal(err)
		}
	}
	result := make(chan error, 1)
	go func() { result <- call() }()
	for _, conn := range borrowed {
		_ = conn.Close()
		for start := time.Now(); time.Since(start) < 20*time.Microsecond; { // shorter than a timer
		}
	}
	if err := <-result; err != nil {
		t.Errorf("%s() = %v", name, err)
	}
}
