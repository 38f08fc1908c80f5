package sqlite_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// mustRunMigration runs an up or down file of a version.
func mustRunMigration(t *testing.T, pool *sqlx.DB, version int, direction string) {
	t.Helper()
	files, err := fs.Glob(sqlite.Migrations(), "*."+direction+".sql")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(sqlite.Migrations(), files[version-1])
	if err != nil {
		t.Fatal(err)
	}
	tx := pool.MustBegin()
	tx.MustExec(string(text))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// newVersion1 returns the path of a database of version 1 with n incidents.
func newVersion1(t *testing.T, n int) string {
	t.Helper()
	path := newPath(t)
	pool := mustHostPool(t, path, "")
	mustRunMigration(t, pool, 1, "up")
	s, err := sqlite.New(t.Context(), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range n {
		mustCreate(t, s, "x")
	}
	return path
}

// Stores that open a file of version 1 together migrate it once, and find its incidents. A library
// of version 1 can use the file afterwards.
func TestMigrate_version1(t *testing.T) {
	t.Parallel()
	path := newVersion1(t, 3)
	before, err := sqlite.New(t.Context(), mustHostPool(t, path, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	_, err = before.Changes(t.Context(), "")
	wantError(t, "Changes() of tables of version 1", err, "run Migrate", incident.ErrUnavailable)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := sqlite.Open(context.Background(), path, patient(nil))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := load(s, 3); err != nil {
				t.Errorf("Load() after the migration = %v, want nil", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := before.Changes(t.Context(), ""); err != nil {
		t.Errorf("Changes() after the migration = %v, want nil", err)
	}
	if n := count(t, path, "SELECT version * 10 + serves FROM incident_schema"); n != 21 {
		t.Errorf("version * 10 + serves = %d, want 21", n)
	}
}

// A host can make the large index before the migration.
func TestMigrate_version1_indexExists(t *testing.T) {
	t.Parallel()
	path := newVersion1(t, 1)
	text, err := fs.ReadFile(sqlite.Migrations(), "20261126000002_retention.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := sqlite.StatementsOf(string(text))
	i := slices.IndexFunc(statements, func(s string) bool { return strings.Contains(s, "INDEX IF NOT EXISTS incident_acknowledged") })
	mustHostPool(t, path, "").MustExec(statements[i])
	s := mustOpen(t, path, nil)
	if n := mustCreate(t, s, "x"); n != 2 {
		t.Errorf("the identifier after the migration is %d, want 2", n)
	}
}

// Each down file leaves the tables, columns and indexes of the version before.
func TestMigrations_eachVersion(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	pool := mustHostPool(t, path, "")
	mustRunMigration(t, pool, 1, "up")
	version1 := schemaOf(t, pool)
	mustRunMigration(t, pool, 2, "up")
	version2 := schemaOf(t, pool)
	if slices.Equal(version1, version2) {
		t.Error("version 2 has the tables of version 1")
	}
	mustRunMigration(t, pool, 2, "down")
	if schema := schemaOf(t, pool); !slices.Equal(schema, version1) {
		t.Errorf("the down file left\n%s\nwant\n%s", strings.Join(schema, "\n"), strings.Join(version1, "\n"))
	}
	mustRunMigration(t, pool, 2, "up")
	if schema := schemaOf(t, pool); !slices.Equal(schema, version2) {
		t.Errorf("the second migration made\n%s\nwant\n%s", strings.Join(schema, "\n"), strings.Join(version2, "\n"))
	}
	mustOpen(t, path, nil)
}

// schemaOf returns the columns of all tables and indexes, and the version.
func schemaOf(t *testing.T, pool *sqlx.DB) (all []string) {
	t.Helper()
	err := pool.Select(&all, `
		SELECT m.type || ' ' || m.name || ' ' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || coalesce(c.dflt_value, '') || ' ' || c.pk
		FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		UNION SELECT 'index ' || m.name || ' ' || c.seqno || ' ' || coalesce(c.name, '') FROM sqlite_schema m JOIN pragma_index_info(m.name) c
		UNION SELECT 'version ' || version || ' ' || serves FROM incident_schema
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
