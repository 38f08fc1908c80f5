package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

const describeSQL = `
SELECT concat_ws(' ', table_name, column_name, data_type, collation_name, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = $1
UNION ALL
SELECT replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1
UNION ALL
SELECT concat_ws(' ', conrelid::regclass::text, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = $1::regnamespace`

// describe returns the schema as text.
func describe(t *testing.T, pool *sqlx.DB, schema string) string {
	t.Helper()
	var lines []string
	if err := pool.Select(&lines, describeSQL, schema); err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], schema+".", "")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Up, down and up again lead to the same tables, in any schema.
func TestMigrate(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 1)
	mustMigrate(t, pool, nil)
	want := describe(t, pool, "public")
	for _, table := range []string{"incident ", "incident_activity "} {
		if !strings.Contains(want, "\n"+table) {
			t.Errorf("table %s does not exist", table)
		}
	}
	for line := range strings.Lines(want) {
		if strings.Contains(line, "timestamp without") {
			t.Errorf("a time without zone: %s", line)
		}
	}
	mustMigrate(t, pool, nil) // a second run changes nothing
	if err := postgres.Unmigrate(t.Context(), pool, nil); err != nil {
		t.Fatal(err)
	}
	if rest := describe(t, pool, "public"); rest != "" {
		t.Errorf("after Unmigrate the schema has\n%s", rest)
	}
	if err := postgres.Unmigrate(t.Context(), pool, nil); err != nil {
		t.Errorf("Unmigrate() without tables = %v", err)
	}
	mustMigrate(t, pool, nil)
	if got := describe(t, pool, "public"); got != want {
		t.Errorf("up again leads to\n%s\nwant\n%s", got, want)
	}
	mustMigrate(t, pool, &postgres.Options{Schema: "other"})
	if got := describe(t, pool, "other"); got != want {
		t.Errorf("another schema has\n%s\nwant\n%s", got, want)
	}
}

// Stores in two schemas of a database are independent.
func TestMigrate_schemas(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 4)
	for _, schema := range []string{"a", "b"} {
		opts := &postgres.Options{Schema: schema}
		mustMigrate(t, pool, opts)
		m := mustManager(t, mustNew(t, pool, opts))
		if key := mustBegin(t, m); key.Identifier != 1 {
			t.Errorf("the first incident in schema %s is %s", schema, key)
		}
	}
}

// Processes that start at the same time migrate in turn, at any isolation level.
func TestMigrate_concurrently(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			u := pgtest.NewDatabase(t) + "&default_transaction_isolation=" + url.QueryEscape(isolation)
			opts := &postgres.Options{Schema: "made"}
			both := append(postgres.Embedded(), additive())
			var all sync.WaitGroup
			for range 8 {
				pool := mustOpen(t, u, 2)
				all.Go(func() {
					if err := postgres.MigrateBy(t.Context(), pool, opts, both); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			pool := mustOpen(t, u, 1)
			var version int
			if err := pool.Get(&version, "SELECT version FROM made.incident_schema"); err != nil || version != len(both) {
				t.Errorf("version %d was made, %v; want %d", version, err, len(both))
			}
			mustBegin(t, mustManager(t, mustNew(t, pool, opts)))
		})
	}
}

// Eight concurrent processes can migrate up, down and up again through a pooler that gives
// each transaction another connection, even with fewer than eight connections.
func TestMigrate_pooler(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			direct := pgtest.NewDatabase(t)
			u := pgtest.NewPgBouncer(t, direct, fmt.Sprint("default_pool_size = ", size))
			both := append(postgres.Embedded(), additive())
			for range 2 {
				var all sync.WaitGroup
				for range 8 {
					pool := mustOpen(t, u, 2)
					all.Go(func() {
						if err := postgres.MigrateBy(t.Context(), pool, nil, both); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				mustBegin(t, mustManager(t, mustNew(t, mustOpen(t, direct, 1), nil)))
				if err := postgres.UnmigrateBy(t.Context(), mustOpen(t, u, 2), nil, both); err != nil {
					t.Error(err)
				}
			}
			var settings []string
			pool := mustOpen(t, u, 1)
			for _, name := range []string{"lock_timeout", "search_path"} {
				var setting string
				if err := pool.Get(&setting, "SHOW "+name); err != nil {
					t.Error(err)
				}
				settings = append(settings, setting)
			}
			if want := []string{"0", `"$user", public`}; !slices.Equal(settings, want) {
				t.Errorf("the pooler's connections are left with %q, want %q", settings, want)
			}
			var locks int
			if err := pool.Get(&locks, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); err != nil || locks != 0 {
				t.Errorf("%d locks are left, %v", locks, err)
			}
		})
	}
}

// A migration that would deadlock with a transaction of the host gives way, even if the
// server would fail the transaction, and succeeds once the locks are free. A server that stands
// still for a second cannot give way, but not five times in turn.
func TestMigrate_givesWay(t *testing.T) {
	t.Parallel()
	var err error
	for range 5 {
		if err = lockBesideMigration(t); err == nil {
			return
		}
	}
	t.Errorf("the host's transaction fails: %v", err)
}

// lockBesideMigration returns the error of a host's transaction that would deadlock with a migration.
func lockBesideMigration(t *testing.T) error {
	t.Helper()
	u := newTables(t)
	pool := mustOpen(t, u, 4)
	first, second := pool.MustBegin(), pool.MustBegin()
	first.MustExec("LOCK TABLE incident_activity IN ROW EXCLUSIVE MODE")
	second.MustExec("LOCK TABLE incident_slot IN ROW EXCLUSIVE MODE")
	migrated := make(chan error, 1)
	go func() {
		migrated <- postgres.MigrateBy(t.Context(), mustOpen(t, u, 1), nil, append(postgres.Embedded(), additive()))
	}()
	// Without a limit the migration would hold incident now, and wait for the first
	// transaction.
	time.Sleep(200 * time.Millisecond)
	locked := make(chan error, 1)
	go func() {
		_, err := second.Exec("LOCK TABLE incident IN ROW EXCLUSIVE MODE")
		locked <- err
	}()
	time.Sleep(500 * time.Millisecond)     // now the second would wait for the migration
	if err := first.Commit(); err != nil { // and now the migration would wait for the second
		t.Error(err)
	}
	failed := <-locked
	if failed != nil {
		_ = second.Rollback() // it has failed
	} else if err := second.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-migrated; err != nil {
		t.Errorf("MigrateBy() = %v", err)
	}
	return failed
}

// The wait for a lock ends with the context.
func TestMigrate_context(t *testing.T) {
	t.Parallel()
	u := newTables(t)
	pool := mustOpen(t, u, 2)
	tx := pool.MustBegin()
	tx.MustExec("LOCK TABLE incident IN ROW EXCLUSIVE MODE")
	defer tx.Rollback()
	for _, known := range [][]postgres.Migration{nil, {additive()}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		migrate := postgres.MigrateBy
		if known == nil {
			migrate = postgres.UnmigrateBy
		}
		err := migrate(ctx, mustOpen(t, u, 1), nil, append(postgres.Embedded(), known...))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with %d more migrations: %v, want DeadlineExceeded", len(known), err)
		}
	}
}

// Migrate respects connections that are read-only by default if there is a step to take,
// and the error says so.
func TestMigrate_readOnly(t *testing.T) {
	t.Parallel()
	u := pgtest.NewDatabase(t)
	pool := mustOpen(t, u+"&default_transaction_read_only=on", 1)
	wantRemedy(t, postgres.Migrate(t.Context(), pool, nil), incident.ErrUnavailable, "connect to the primary server")
	mustMigrate(t, mustOpen(t, u, 1), nil)
	mustMigrate(t, pool, nil)
	wantRemedy(t, postgres.Unmigrate(t.Context(), pool, nil), incident.ErrUnavailable, "connect to the primary server")

	// A connection with a leftover setting is not used again.
	pool = mustOpen(t, u, 1)
	pool.MustExec("SET default_transaction_read_only = on")
	opts := &postgres.Options{Schema: "another"}
	if err := postgres.Migrate(t.Context(), pool, opts); err == nil {
		t.Error("Migrate() writes on a read-only connection")
	}
	mustMigrate(t, pool, opts)
}

// A host's transaction includes the calls that join it.
func TestStore_Join(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	m := mustManager(t, s)
	host := mustOpen(t, url, 1)
	host.MustExec("CREATE TABLE host (n int)")
	pool := s.Pool()
	for _, commit := range []bool{false, true} {
		tx := pool.MustBegin()
		joined, done, err := m.Join(s.Join(tx))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		tx.MustExec("INSERT INTO host VALUES (1)")
		r, err := joined.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil || r.Identifier != 1 {
			t.Fatalf("Create() = %s, %v", r.Key(), err)
		}
		part := fmt.Errorf("a part fails")
		err = joined.InTx(t.Context(), func(tx incident.Manager) error {
			if _, err := tx.Comment(t.Context(), r.Key(), comment); err != nil {
				return err
			}
			return part
		})
		if err != part {
			t.Errorf("InTx() = %v, want the function's own error", err)
		}
		if _, err := m.Get(t.Context(), r.Key()); err == nil {
			t.Error("others see the incident before the commit")
		}
		if !commit {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Get(t.Context(), r.Key()); err == nil {
				t.Error("the incident outlasts its transaction")
			}
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		page, err := m.Activities(t.Context(), r.Key(), incident.ActivityFilter{})
		if err != nil || len(page.Activities) != 2 {
			t.Errorf("after the commit there are %d activities, %v; want 2", len(page.Activities), err)
		}
		if _, err := joined.Get(t.Context(), r.Key()); err == nil {
			t.Error("a Manager outlasts its transaction")
		}
	}
	var rows int
	if err := host.Get(&rows, "SELECT count(*) FROM host"); err != nil || rows != 1 {
		t.Errorf("the host has %d rows, %v; want 1", rows, err)
	}
}
