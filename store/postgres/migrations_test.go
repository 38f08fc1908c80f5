package postgres_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

var update = flag.Bool("update", false, "write the lists of objects of the migrations")

func mustRead(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	content, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func mustGlob(t *testing.T, files fs.FS, pattern string) []string {
	t.Helper()
	names, err := fs.Glob(files, pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("Glob(%q) = %v, %v", pattern, names, err)
	}
	return names
}

// allUp is the SQL of all versions in order.
func allUp(t *testing.T) (script string) {
	t.Helper()
	for _, name := range mustGlob(t, postgres.Migrations(), "*.up.sql") {
		script += mustRead(t, postgres.Migrations(), name)
	}
	return script
}

var migrationName = regexp.MustCompile(`^(20\d{6})(\d{6})_[a-z0-9_]+$`)

// The files are complete and numbered by the rules, in both forms.
func TestMigrations_files(t *testing.T) {
	pairs, goose := postgres.Migrations(), postgres.GooseMigrations()
	ups := mustGlob(t, pairs, "*.up.sql")
	if len(ups) != postgres.SchemaVersion {
		t.Errorf("there are %d migrations, and schemaVersion is %d", len(ups), postgres.SchemaVersion)
	}
	var downs, singles []string
	date := ""
	for i, name := range ups {
		base := strings.TrimSuffix(name, ".up.sql")
		m := migrationName.FindStringSubmatch(base)
		if m == nil || m[1] < date || m[2] != fmt.Sprintf("%06d", i+1) {
			t.Fatalf("%s is not a date, not before %q, and %06d", name, date, i+1)
		}
		date = m[1]
		downs, singles = append(downs, base+".down.sql"), append(singles, base+".sql")
		up, down, both := mustRead(t, pairs, name), mustRead(t, pairs, base+".down.sql"), mustRead(t, goose, base+".sql")
		if !strings.HasPrefix(both, "-- +goose Up\n"+up) || !strings.HasSuffix(both, "-- +goose Down\n"+down) {
			t.Errorf("goose's file of version %d is\n%s", i+1, both)
		}
		forbidden := regexp.MustCompile(`(?mi)\$\$|concurrently|^\s*(begin|commit|set)\b|^\\`)
		if found := forbidden.FindString(up + down); found != "" {
			t.Errorf("%s or its down file has %q, which not every tool can run", name, found)
		}
	}
	if err := fstest.TestFS(pairs, append(slices.Clone(ups), downs...)...); err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(goose, singles...); err != nil {
		t.Error(err)
	}
}

// The list of objects of each version matches its migrations, and the down files undo
// them.
func TestMigrate_objects(t *testing.T) {
	pool := mustOpen(t, pgtest.NewDatabase(t), 1)
	pool.MustExec("CREATE SCHEMA own; SET search_path TO own")
	ups := mustGlob(t, postgres.Migrations(), "*.up.sql")
	var states []string
	for i, name := range ups {
		states = append(states, describe(t, pool, "own"))
		pool.MustExec(mustRead(t, postgres.Migrations(), name))
		got, err := postgres.Objects(t.Context(), pool, "own")
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			got = allObjects(t, pool)
			file := filepath.Join("migrations", strings.TrimSuffix(name, ".up.sql")+".txt")
			if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want := postgres.Embedded()[i].Objects; !slices.Equal(got, want) || !slices.Equal(got, allObjects(t, pool)) {
			t.Errorf("version %d has\n%s\nwant\n%s\nIf the migration is not released, run this test with -update",
				i+1, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for i := len(ups) - 1; i >= 0; i-- {
		pool.MustExec(mustRead(t, postgres.Migrations(), strings.TrimSuffix(ups[i], ".up.sql")+".down.sql"))
		if got := describe(t, pool, "own"); got != states[i] {
			t.Errorf("down from version %d leads to\n%s\nwant\n%s", i+1, got, states[i])
		}
	}
}

// allObjects returns the objects of the schema own, whatever their names.
func allObjects(t *testing.T, pool *sqlx.DB) []string {
	t.Helper()
	var names []string
	if err := pool.Select(&names, "SELECT relname FROM pg_class WHERE relnamespace = 'own'::regnamespace"); err != nil {
		t.Fatal(err)
	}
	objects, err := postgres.ObjectsNamed(t.Context(), pool, "own", names)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// A tool of the host may run the files in the schema of its search_path. Migrate continues
// from the tables that the tool made.
func TestMigrations(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 1)
	pool.MustExec("CREATE SCHEMA own; SET search_path TO own; " + allUp(t) + "; RESET search_path")
	opts := &postgres.Options{Schema: "own"}
	m := mustManager(t, mustNew(t, pool, opts))
	key := mustBegin(t, m)
	before := describe(t, pool, "own")
	mustMigrate(t, pool, opts)
	if after := describe(t, pool, "own"); after != before {
		t.Errorf("Migrate() changes the tables to\n%s\nwant\n%s", after, before)
	}
	if err := postgres.MigrateBy(t.Context(), pool, opts, append(postgres.Embedded(), additive())); err != nil {
		t.Error(err)
	}
	if _, err := m.Get(t.Context(), key); err != nil {
		t.Error(err)
	}
	if err := postgres.UnmigrateBy(t.Context(), pool, opts, append(postgres.Embedded(), additive())); err != nil {
		t.Error(err)
	}
	if rest := describe(t, pool, "own"); rest != "" {
		t.Errorf("after the down files the schema has\n%s", rest)
	}
}
