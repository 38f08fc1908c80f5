package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

// long selects the long forms of the tests.
var long = os.Getenv("INCIDENT_TEST_LONG") != ""

// TestMain limits TestModel to 32 sequences, and 128 in the long form, unless the command
// line sets the number, because each call is many statements. TestLinearizable makes a
// quarter of the calls of the long form.
func TestMain(m *testing.M) {
	if is, err := asProcess(); is {
		if err != nil {
			panic(err)
		}
		return
	}
	// In short mode rapid makes a fifth of the checks.
	settings := map[string]string{"rapid.checks": "40", "test.short": "true"}
	if long {
		settings = map[string]string{"rapid.checks": "32"}
	}
	for name, value := range settings {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	pgtest.Main(m)
}

// kind is a way to set the store up.
type kind struct {
	conns   int    // in the pool
	dsn     string // appended to the URL
	options postgres.Options
	migrate func(t *testing.T, pool *sqlx.DB, opts *postgres.Options)
}

// mustOpen opens a pool that ends with the test.
func mustOpen(t testing.TB, url string, conns int) *sqlx.DB {
	t.Helper()
	pool, err := sqlx.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	t.Cleanup(func() { pool.Close() })
	return pool
}

func mustMigrate(t *testing.T, pool *sqlx.DB, opts *postgres.Options) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), pool, opts); err != nil {
		t.Fatal(err)
	}
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

// newTables makes a database with the tables, and returns its URL.
func newTables(t *testing.T) (url string) {
	t.Helper()
	return pgtest.NewDatabaseLike(t, "migrated", func(url string) error {
		pool, err := sqlx.Open("postgres", url)
		if err != nil {
			return err
		}
		defer pool.Close()
		return postgres.Migrate(context.Background(), pool, nil)
	})
}

// newStore returns a store in a database of its own.
func newStore(t *testing.T) (s *postgres.Store, url string) {
	t.Helper()
	url = newTables(t)
	return mustNew(t, mustOpen(t, url, 16), nil), url
}

// startServer starts a server with the tables, for this test alone: faults may restart it.
func startServer(t *testing.T) (*pgtest.Server, *sqlx.DB) {
	t.Helper()
	server, err := pgtest.StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	pool := mustOpen(t, server.URL(), 4)
	mustMigrate(t, pool, nil)
	return server, pool
}

const deleteAllSQL = `
DELETE FROM incident; DELETE FROM incident_organization; DELETE FROM incident_project;
DELETE FROM incident_activity; DELETE FROM incident_trigger; DELETE FROM incident_slot;
DELETE FROM incident_active; DELETE FROM incident_seen; DELETE FROM incident_subscription; DELETE FROM incident_outbox; DELETE FROM incident_label;
DELETE FROM incident_queue; DELETE FROM incident_deleted; DELETE FROM incident_task;`

// mustExec runs commands. The server may still run a statement of a connection that has ended or was
// cut, and deadlock with them: then they run again. Unlike MustExec of a pool, it does not panic: that
// would end all other tests, too.
func mustExec(t testing.TB, pool *sqlx.DB, commands string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := pool.Exec(commands)
		if err == nil {
			return
		}
		if !postgres.IsDisturbed(err) || time.Now().After(deadline) {
			t.Fatalf("%s: %v", commands, err)
		}
	}
}

// emptyStores returns a factory of empty stores, which tests use in turn. A test that asks
// for a second store must not use the first any more.
func emptyStores(t *testing.T, k kind) func(t *testing.T) incident.Store {
	url, parent := pgtest.NewDatabase(t), t
	if k.migrate == nil {
		k.migrate = mustMigrate
	}
	stores := pgtest.InTurn(func(t *testing.T, number int) *postgres.Store {
		opts := k.options
		opts.Schema = "s" + strconv.Itoa(number)
		pool := mustOpen(parent, url+k.dsn, k.conns)
		k.migrate(t, pool, &opts)
		return mustNew(parent, pool, &opts)
	}, func(t *testing.T, s *postgres.Store) {
		pgtest.AwaitIdle(t, s.Pool())
		checkActive(t, s, 0)
		mustExec(t, s.Pool(), "SET search_path TO "+s.Schema()+";"+deleteAllSQL+"RESET search_path")
	})
	return func(t *testing.T) incident.Store { return stores(t) }
}

func TestStore(t *testing.T) { storetest.Run(t, emptyStores(t, kind{conns: 16})) }

// With a single connection, a transaction and the calls around it do not wait for each
// other.
func TestStore_oneConnection(t *testing.T) { storetest.Run(t, emptyStores(t, kind{conns: 1})) }

func TestStore_unprepared(t *testing.T) {
	storetest.Run(t, emptyStores(t, kind{
		conns: 16, dsn: "&binary_parameters=yes", options: postgres.Options{Unprepared: true},
	}))
}

// The tables can be distributed by organization.
func TestStore_partitioned(t *testing.T) {
	storetest.Run(t, emptyStores(t, kind{conns: 16, migrate: migratePartitioned}))
}

// migratePartitioned makes the tables of the migrations with partitions by organization,
// as a host could.
func migratePartitioned(t *testing.T, pool *sqlx.DB, opts *postgres.Options) {
	t.Helper()
	table := regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((\n    organization_id.*?)\n\)( WITH \([^)]*\))?;`)
	commands := "CREATE SCHEMA " + opts.Schema + "; SET search_path TO " + opts.Schema + ";"
	partitioned, parts := 0, 2
	if long {
		parts = 16
	}
	commands += table.ReplaceAllStringFunc(allUp(t), func(create string) string {
		partitioned++
		m := table.FindStringSubmatch(create)
		table := "CREATE TABLE " + m[1] + " (" + m[2] + "\n) PARTITION BY HASH (organization_id);\n"
		for i := range parts {
			table += fmt.Sprintf("CREATE TABLE %s_%d PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n",
				m[1], i, m[1], parts, i)
		}
		return table
	})
	if partitioned != 13 {
		t.Fatalf("%d tables are partitioned, want 13", partitioned)
	}
	pool.MustExec(commands + "RESET search_path")
	mustMigrate(t, pool, opts) // finds them
}

func TestModel(t *testing.T) { managertest.Model(t, emptyStores(t, kind{conns: 16})) }

// With SingleProcess the cache is used. All goroutines share a single connection.
func TestModel_singleProcess(t *testing.T) {
	managertest.Model(t, emptyStores(t, kind{conns: 1, options: postgres.Options{SingleProcess: true}}))
}

func TestLinearizable(t *testing.T) { managertest.Linearizable(t, emptyStores(t, kind{conns: 16})) }

func TestLinearizable_singleProcess(t *testing.T) {
	managertest.Linearizable(t, emptyStores(t, kind{conns: 1, options: postgres.Options{SingleProcess: true}}))
}

// A statement that the server still runs for a connection that was cut deadlocks with the commands that
// empty the tables. They win in the end.
func TestStore_emptiedBesideLingerer(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	key := mustBegin(t, mustManager(t, s))
	lingerer := mustOpen(t, url, 1).MustBegin()
	defer lingerer.Rollback()
	lingerer.MustExec("SET LOCAL deadlock_timeout = '1min'") // the commands notice the deadlock first
	lingerer.MustExec("SELECT FROM incident_organization FOR UPDATE")
	done := make(chan error, 1)
	pool := mustOpen(t, url, 2)
	go func() {
		const waitingSQL = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND a.datname = current_database())"
		for waits := false; !waits; {
			if err := pool.Get(&waits, waitingSQL); err != nil {
				done <- err
				return
			}
		}
		_, err := lingerer.Exec("UPDATE incident SET title = title WHERE identifier = $1", key.Identifier)
		done <- errors.Join(err, lingerer.Commit())
	}()
	mustExec(t, pool, deleteAllSQL)
	if err := <-done; err != nil {
		t.Error(err)
	}
	n := 0
	if err := pool.Get(&n, "SELECT count(*) FROM incident"); err != nil || n != 0 {
		t.Errorf("%d incidents are left, %v", n, err)
	}
}
