package sqlite_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// Processes and stores that start at the same time make the tables once, and none fails.
func TestMigrate_together(t *testing.T) {
	t.Parallel()
	for range 4 {
		path := newPath(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if rest := startChild(t, task{Name: "create", Path: path, Number: 1}).stop(t); len(rest) != 1 {
					t.Errorf("a process that started beside others printed %q, want an identifier", rest)
				}
			})
		}
		for range 20 {
			all.Go(func() {
				s, err := sqlite.Open(context.Background(), path, patient(nil))
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := count(t, path, "SELECT count(*) FROM incident"); n != 4 {
			t.Errorf("%d incidents were written, want 4", n)
		}
	}
}

// The version is not in user_version, which is the host's.
func TestMigrate_userVersion(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	host := mustHostPool(t, path, "")
	host.MustExec("CREATE TABLE orders (n INTEGER); PRAGMA user_version = 42")
	s := mustOpen(t, path, nil)
	mustCreate(t, s, "x")
	if n := count(t, path, "PRAGMA user_version"); n != 42 {
		t.Errorf("user_version is %d, want the host's 42", n)
	}
}

// Each down file undoes its up file, and either can be run by another tool.
func TestMigrations(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	host := mustHostPool(t, path, "")
	files := sqlite.Migrations()
	ups, err := fs.Glob(files, "*.up.sql")
	if err != nil || len(ups) == 0 {
		t.Fatalf("Migrations() has %v, %v", ups, err)
	}
	for range 2 {
		for _, up := range ups {
			text, err := fs.ReadFile(files, up)
			if err != nil {
				t.Fatal(err)
			}
			host.MustExec(string(text))
		}
		s := mustOpen(t, path, nil) // finds the tables
		if n := mustCreate(t, s, "x"); n != 1 {
			t.Errorf("the first identifier is %d, want 1", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for i := len(ups) - 1; i >= 0; i-- {
			text, err := fs.ReadFile(files, strings.Replace(ups[i], ".up.", ".down.", 1))
			if err != nil {
				t.Fatal(err)
			}
			host.MustExec(string(text))
		}
		if n := count(t, path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'incident%'"); n != 0 {
			t.Errorf("the down files left %d tables and indexes, want none", n)
		}
	}
}

// A failed migration leaves nothing.
func TestMigrate_isWhole(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	host := mustHostPool(t, path, "")
	host.MustExec("CREATE TABLE incident_slot (n INTEGER)")
	_, err := sqlite.Open(t.Context(), path, nil)
	wantError(t, "Open() of a file with a table of the same name", err, "incident_slot", incident.ErrUnavailable)
	if n := count(t, path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'incident%'"); n != 1 {
		t.Errorf("a failed migration left %d tables and indexes, want the host's alone", n)
	}
}

// New finds the file of the host's pool, needs none of its connections, and does not migrate.
func TestNew(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	host := mustHostPool(t, path, "")
	host.SetMaxOpenConns(1)
	host.MustExec("CREATE TABLE orders (n INTEGER)")
	s, err := sqlite.New(t.Context(), host, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = create(t.Context(), s, "x")
	wantError(t, "Apply() without tables", err, "run Migrate", incident.ErrUnavailable)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx := host.MustBegin() // has the only connection, and writes nothing
	mustCreate(t, s, "x")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	memory := mustHostPool(t, filepath.ToSlash(t.TempDir())+"/x", "mode=memory")
	_, err = sqlite.New(t.Context(), memory, nil)
	wantError(t, "New() of a database in memory", err, "store/memory", incident.ErrInvalid)
	_, err = sqlite.New(t.Context(), nil, nil)
	wantError(t, "New() without a pool", err, "is required", incident.ErrInvalid)
}
