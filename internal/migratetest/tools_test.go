package migratetest

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	atlas "ariga.io/atlas/sql/migrate"
	atlaspostgres "ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/sqltool"
	golangmigrate "github.com/golang-migrate/migrate/v4"
	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// When a migration fails, golang-migrate leaves the goroutine that reads the next one.
func TestMain(m *testing.M) {
	pgtest.Main(m, "github.com/golang-migrate/migrate/v4.(*Migration).Buffer")
}

// tool runs migrations in a database. down is nil if the tool has no such command.
type tool struct {
	name     string
	up, down func(t *testing.T, url string) error
}

var tools = []tool{
	{"golang-migrate", golangMigrateUp, golangMigrateDown},
	{"goose", gooseUp, gooseDown},
	{"Atlas", atlasUp, nil},
	{"psql", psqlUp, psqlDown},
}

func mustOpen(t *testing.T, url string) *sqlx.DB {
	t.Helper()
	pool, err := sqlx.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

func golangMigrate(t *testing.T, url string, files fs.FS, table string) *golangmigrate.Migrate {
	t.Helper()
	source, err := iofs.New(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := migratepostgres.WithInstance(db, &migratepostgres.Config{MigrationsTable: table})
	if err != nil {
		t.Fatal(err)
	}
	m, err := golangmigrate.NewWithInstance("iofs", source, "postgres", driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func golangMigrateUp(t *testing.T, url string) error {
	return golangMigrate(t, url, postgres.Migrations(), "incident_migrations").Up()
}

func golangMigrateDown(t *testing.T, url string) error {
	return golangMigrate(t, url, postgres.Migrations(), "incident_migrations").Down()
}

func gooseProvider(t *testing.T, url string, files fs.FS, table string) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectPostgres, mustOpen(t, url).DB, files,
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func gooseUp(t *testing.T, url string) error {
	_, err := gooseProvider(t, url, postgres.GooseMigrations(), "incident_goose").Up(t.Context())
	return err
}

func gooseDown(t *testing.T, url string) error {
	_, err := gooseProvider(t, url, postgres.GooseMigrations(), "incident_goose").DownTo(t.Context(), 0)
	return err
}

// atlasUp does the same as "atlas migrate hash" and "atlas migrate apply" for a directory
// in the format golang-migrate.
func atlasUp(t *testing.T, url string) error {
	folder := export(t)
	dir, err := sqltool.NewGolangMigrateDir(folder)
	if err != nil {
		return err
	}
	sum, err := dir.Checksum()
	if err != nil {
		return err
	}
	if err := atlas.WriteSumFile(dir, sum); err != nil {
		return err
	}
	tx, err := mustOpen(t, url).BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	driver, err := atlaspostgres.Open(tx)
	if err != nil {
		return err
	}
	e, err := atlas.NewExecutor(driver, dir, atlas.NopRevisionReadWriter{})
	if err != nil {
		return err
	}
	files, err := dir.Files()
	if err != nil {
		return err
	}
	if err := e.ExecuteFiles(t.Context(), files); err != nil {
		return err
	}
	return tx.Commit()
}

// export writes the files to a folder, as a host does for a command-line tool.
func export(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "incident")
	if err := os.CopyFS(folder, postgres.Migrations()); err != nil {
		t.Fatal(err)
	}
	return folder
}

func psql(t *testing.T, url string, pattern string) error {
	folder := export(t)
	names, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	if strings.Contains(pattern, "down") {
		slices.Reverse(names)
	}
	program := "psql"
	if _, err := exec.LookPath(program); err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql") // the pattern is well formed
		if len(found) == 0 {
			t.Fatal("psql was not found; install it with 'apt-get install postgresql-client'")
		}
		program = found[0]
	}
	for _, name := range names {
		cmd := exec.CommandContext(t.Context(), program, "--no-psqlrc", "--quiet", "--single-transaction",
			"--set", "ON_ERROR_STOP=1", "--file", name, url)
		if output, err := cmd.CombinedOutput(); err != nil {
			return errors.Join(err, errors.New(string(output)))
		}
	}
	return nil
}

func psqlUp(t *testing.T, url string) error   { return psql(t, url, "*.up.sql") }
func psqlDown(t *testing.T, url string) error { return psql(t, url, "*.down.sql") }

// open creates the first incident of a database.
func open(t *testing.T, url string, opts *postgres.Options) error {
	t.Helper()
	s, err := postgres.New(mustOpen(t, url), opts)
	if err != nil {
		return err
	}
	defer s.Close()
	m, err := incident.New(s, nil)
	if err != nil {
		return err
	}
	_, err = m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	return err
}

func migrate(t *testing.T, url string) error {
	return postgres.Migrate(t.Context(), mustOpen(t, url), nil)
}

func unmigrate(t *testing.T, url string) error {
	return postgres.Unmigrate(t.Context(), mustOpen(t, url), nil)
}

// Migrate and the store find the tables of every tool, and each tool can drop the tables
// made by Migrate.
func TestTools_shareTheTables(t *testing.T) {
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			steps := []struct {
				name string
				do   func(t *testing.T, url string) error
			}{
				{"up", tool.up},
				{"the first incident", func(t *testing.T, url string) error { return open(t, url, nil) }},
				{"Migrate after up", migrate},
				{"down", tool.down},
				{"Migrate after down", migrate},
				{"the next first incident", func(t *testing.T, url string) error { return open(t, url, nil) }},
				{"Unmigrate", unmigrate},
				{"up again", tool.up},
				{"Unmigrate after up", unmigrate},
			}
			for _, step := range steps {
				if step.do == nil {
					step.do = unmigrate
				}
				if err := step.do(t, url); err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
			}
		})
	}
}

// A tool works in the schema of its connection's search_path.
func TestTools_schema(t *testing.T) {
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			mustOpen(t, url).MustExec("CREATE SCHEMA own")
			in := url + "&search_path=own"
			if tool.name == "psql" {
				in = url + "&options=-csearch_path%3Down"
			}
			if err := tool.up(t, in); err != nil {
				t.Fatal(err)
			}
			if err := open(t, url, &postgres.Options{Schema: "own"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// ofHost returns the migrations of a host, numbered from 1.
func ofHost(suffix, header string) fs.FS {
	return fstest.MapFS{
		"00001_host" + suffix: {Data: []byte(header + "CREATE TABLE host (n int);\n")},
	}
}

// A host's version 1 in the same version table is not mistaken for the library's: either
// the tables are created, or the tool fails.
func TestTools_hostsVersion1(t *testing.T) {
	t.Run("golang-migrate", func(t *testing.T) {
		url := pgtest.NewDatabase(t)
		const shared = "schema_migrations"
		if err := golangMigrate(t, url, ofHost(".up.sql", ""), shared).Up(); err != nil {
			t.Fatal(err)
		}
		err := golangMigrate(t, url, postgres.Migrations(), shared).Up()
		if err == nil || errors.Is(err, golangmigrate.ErrNoChange) {
			t.Errorf("Up() = %v, want an error about foreign versions", err)
		}
		if err := golangMigrateUp(t, url); err != nil {
			t.Errorf("with a table of its own Up() = %v", err)
		}
		if err := open(t, url, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("goose", func(t *testing.T) {
		url := pgtest.NewDatabase(t)
		const shared = "goose_db_version"
		if _, err := gooseProvider(t, url, ofHost(".sql", "-- +goose Up\n"), shared).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := gooseProvider(t, url, postgres.GooseMigrations(), shared).Up(t.Context()); err != nil {
			t.Error(err)
		}
		if err := open(t, url, nil); err != nil {
			t.Error(err)
		}
	})
}

// A tool that is given the migrations of another format refuses them and creates nothing.
func TestTools_refuseOtherFormats(t *testing.T) {
	url := pgtest.NewDatabase(t)
	if err := golangMigrate(t, url, postgres.GooseMigrations(), "schema_migrations").Up(); err == nil {
		t.Error("golang-migrate takes goose's files")
	}
	_, err := goose.NewProvider(goose.DialectPostgres, mustOpen(t, url).DB, postgres.Migrations(), goose.WithDisableGlobalRegistry(true))
	if err == nil {
		t.Error("goose takes golang-migrate's files")
	}
	if err := migrate(t, url); err != nil {
		t.Errorf("Migrate() afterwards = %v", err)
	}
}
