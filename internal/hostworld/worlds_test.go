package hostworld_test

import (
	"context"
	"database/sql"
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/XSAM/otelsql"
	_ "github.com/jackc/pgx/v5/stdlib" // a driver
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // a driver

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// long selects all suites in all worlds.
var long = os.Getenv("INCIDENT_TEST_LONG") != ""

func TestMain(m *testing.M) {
	// In short mode rapid makes a fifth of its checks: two sequences of each variant.
	settings := map[string]string{"rapid.checks": "10", "test.short": "true"}
	if long {
		settings = map[string]string{"rapid.checks": "64"}
	}
	for name, value := range settings {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	pgtest.Main(m)
}

// world is an environment of a host.
type world struct {
	name    string
	open    func(dsn string) (*sql.DB, error)
	dsn     string // appended to the URL
	conns   int    // size of the pool
	options postgres.Options
	bouncer []string // settings of a PgBouncer before the server; nil for none

	longOnly bool // omitted from the short form
	light    bool // in the short form, only suites of few calls
}

// bouncerOf returns the settings of a PgBouncer with size connections.
func bouncerOf(size int) []string { return []string{"default_pool_size = " + strconv.Itoa(size)} }

func openPQ(dsn string) (*sql.DB, error) { return sql.Open("postgres", dsn) }

func openTracedPQ(dsn string) (*sql.DB, error) { return otelsql.Open("postgres", dsn) }

func openPGX(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) }

func openTracedPGX(dsn string) (*sql.DB, error) { return otelsql.Open("pgx", dsn) }

// mustOpen opens a pool and closes it at the end of the test.
func (w world) mustOpen(t testing.TB, url string) *sqlx.DB {
	t.Helper()
	db, err := w.open(url + w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(w.conns)
	db.SetMaxIdleConns(w.conns)
	return sqlx.NewDb(db, "postgres")
}

// mustMigrate opens a pool, and creates the tables in the default schema.
func (w world) mustMigrate(t testing.TB, url string) *sqlx.DB {
	t.Helper()
	db := w.mustOpen(t, url)
	if err := postgres.Migrate(t.Context(), db, nil); err != nil {
		t.Fatal(err)
	}
	return db
}

// through returns the URL of the world's PgBouncer before a server, or that of the server.
func (w world) through(t testing.TB, server string) string {
	t.Helper()
	if w.bouncer == nil {
		return server
	}
	return pgtest.NewPgBouncer(t, server, w.bouncer...)
}

const deleteAllSQL = `
DELETE FROM incident; DELETE FROM incident_organization; DELETE FROM incident_project;
DELETE FROM incident_activity; DELETE FROM incident_trigger; DELETE FROM incident_slot;
DELETE FROM incident_active; DELETE FROM incident_seen; DELETE FROM incident_subscription; DELETE FROM incident_outbox; DELETE FROM incident_label;
DELETE FROM incident_queue; DELETE FROM incident_deleted; DELETE FROM incident_task;`

// schema is a store in a schema of its own, and a pool that empties the schema.
type schema struct {
	admin *sqlx.DB
	store *postgres.Store
}

// stores returns a factory of empty stores, which tests use in turn. A test that asks for a
// second store must no longer use the first.
func (w world) stores(t *testing.T) func(t *testing.T) *postgres.Store {
	t.Helper()
	url, parent := pgtest.NewDatabase(t), t
	through := w.through(t, url)
	schemas := pgtest.InTurn(func(t *testing.T, number int) schema {
		opts := w.options
		opts.Schema = "s" + strconv.Itoa(number)
		s := schema{admin: world{open: openPQ, conns: 1}.mustOpen(parent, url)}
		if err := postgres.Migrate(parent.Context(), s.admin, &opts); err != nil {
			t.Fatal(err)
		}
		s.store = mustNew(parent, w.mustOpen(parent, through), &opts)
		return s
	}, func(t *testing.T, s schema) {
		pgtest.AwaitIdle(t, s.store.Pool())
		if outdated, err := pgtest.AuditActive(context.Background(), s.admin, s.store.Schema()); err != nil || outdated > 0 {
			t.Errorf("%d incidents are outdated, %v", outdated, err)
		}
		s.admin.MustExec("SET search_path TO " + s.store.Schema() + ";" + deleteAllSQL + "RESET search_path")
	})
	return func(t *testing.T) *postgres.Store { return schemas(t).store }
}

func asStores(f func(*testing.T) *postgres.Store) func(*testing.T) incident.Store {
	return func(t *testing.T) incident.Store { return f(t) }
}

func mustNew(t testing.TB, pool *sqlx.DB, opts *postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.New(pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustManager(t testing.TB, s incident.Store) incident.Manager {
	t.Helper()
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
