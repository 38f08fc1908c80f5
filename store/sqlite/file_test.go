package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// create creates an incident with an activity.
func create(ctx context.Context, s incident.Store, title string) (int64, error) {
	at := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	applied, err := s.Apply(ctx, incident.Change{
		Key: incident.Key{OrganizationID: "acme"},
		Incident: &incident.Incident{
			OrganizationID: "acme", Title: title, Status: incident.StatusOpen, Version: 1,
			DateStarted: at, DateDetected: at, DateAdded: at,
		},
		Activities: []incident.Activity{{Type: incident.ActivityTypeCreated, DateAdded: at, NotificationUUID: uuid.New()}},
	})
	return applied.Incident.Identifier, err
}

func mustCreate(t testing.TB, s incident.Store, title string) int64 {
	t.Helper()
	n, err := create(context.Background(), s, title)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func load(s incident.Store, n int64) (incident.State, error) {
	return s.Load(context.Background(), incident.Key{OrganizationID: "acme", Identifier: n})
}

// wantError fails unless err matches each of the errors, and says what to do.
func wantError(t testing.TB, what string, err error, remedy string, matches ...error) {
	t.Helper()
	for _, want := range matches {
		if !errors.Is(err, want) {
			t.Errorf("%s = %v, want an error that matches %q", what, err, want)
		}
	}
	if err != nil && !strings.Contains(err.Error(), remedy) {
		t.Errorf("%s = %v, want the remedy %q", what, err, remedy)
	}
}

// A process that reads the files as any other files, as a naive copy does, and so closes them,
// keeps the lock of its connections on the database: the next process to end would otherwise take
// itself for the last one, and remove the log to which the first process writes.
func TestFile_keepsLocksAfterReadFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip(runtime.GOOS + " has no open file description locks")
	}
	path := newPath(t)
	s := mustOpen(t, path, nil)
	mustCreate(t, s, "before")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if _, err := os.ReadFile(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	other := startChild(t, task{Name: "create", Path: path, Number: 1})
	if rest := other.stop(t); len(rest) != 1 {
		t.Fatalf("the other process printed %q, want an identifier", rest)
	}
	last := mustCreate(t, s, "after")
	reader := startChild(t, task{Name: "title", Path: path, Number: int(last)})
	if rest := reader.stop(t); len(rest) != 1 || rest[0] != "after" {
		t.Errorf("another process reads %q of an acknowledged incident, want its title", rest)
	}
}

func init() {
	tasks["create"] = func(ctx context.Context, t task) error {
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, &t.Options)
		if err != nil {
			return err
		}
		defer s.Close()
		for range t.Number {
			n, err := create(context.WithoutCancel(ctx), s, "of a child")
			if err != nil {
				return err
			}
			fmt.Println(n)
		}
		return nil
	}
	tasks["title"] = func(ctx context.Context, t task) error {
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, nil)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := load(s, int64(t.Number))
		fmt.Println(st.Incident.Title)
		return err
	}
}

// A store whose file was replaced, moved or removed acknowledges nothing more, and serves
// nothing of the old file.
func TestFile_refusesAReplacedFile(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path string){
		"replaced": func(t *testing.T, path string) {
			other := newPath(t)
			mustCreate(t, mustOpen(t, other, nil), "of another file")
			if err := os.Rename(other, path); err != nil {
				t.Fatal(err)
			}
		},
		"moved": func(t *testing.T, path string) {
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := mustOpen(t, path, nil)
			n := mustCreate(t, s, "before")
			position, err := s.Changes(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			replace(t, path)
			_, err = create(t.Context(), s, "after")
			wantError(t, "Apply()", err, "open it again", incident.ErrUnavailable, sqlite.ErrFileReplaced)
			_, err = s.Changes(t.Context(), position.Position)
			wantError(t, "Changes()", err, "open it again", incident.ErrUnavailable, sqlite.ErrFileReplaced)
			err = s.InTx(t.Context(), func(incident.Store) error { return nil })
			wantError(t, "InTx()", err, "open it again", incident.ErrUnavailable, sqlite.ErrFileReplaced)
			time.Sleep(50 * time.Millisecond)
			_, err = load(s, n)
			wantError(t, "Load()", err, "open it again", incident.ErrUnavailable, sqlite.ErrFileReplaced)
		})
	}
}

// A commit during which the file was replaced has an unknown outcome.
func TestFile_replacedDuringATransaction(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		if _, err := create(t.Context(), tx, "x"); err != nil {
			return err
		}
		return os.Rename(path, path+".old")
	})
	wantError(t, "InTx()", err, "", incident.ErrUnknownOutcome)
}

// Open refuses network file systems that it recognizes. The test must not run beside others.
func TestOpen_networkFileSystem(t *testing.T) {
	defer sqlite.SetFileSystem("NFS")()
	_, err := sqlite.Open(t.Context(), newPath(t), nil)
	wantError(t, "Open()", err, "move it to a local disk", incident.ErrUnavailable, sqlite.ErrNetworkFileSystem)
}

// Each failure of the file has a remedy.
func TestOpen_errors(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := newPath(t)
	s := mustOpen(t, newer, nil)
	if err := s.Exec(t.Context(), "UPDATE incident_schema SET version = 99, serves = 99"); err != nil {
		t.Fatal(err)
	}
	utf16 := newPath(t)
	pool := mustHostPool(t, utf16, "_pragma=encoding('UTF-16')")
	pool.MustExec("CREATE TABLE orders (n INTEGER)")
	_, err := sqlite.New(t.Context(), pool, nil)
	wantError(t, "New() of a database in UTF-16", err, "UTF-8", incident.ErrUnavailable)
	for name, c := range map[string]struct {
		path, remedy string
		matches      error
	}{
		"not a database":     {text, "not a SQLite database", incident.ErrUnavailable},
		"missing directory":  {filepath.Join(t.TempDir(), "missing", "x.db"), "the directory must exist", incident.ErrUnavailable},
		"in UTF-16":          {utf16, "UTF-8", incident.ErrUnavailable},
		"directory":          {t.TempDir(), "give the path of a file", incident.ErrInvalid},
		"no path":            {"", "store/memory", incident.ErrInvalid},
		"memory":             {":memory:", "store/memory", incident.ErrInvalid},
		"newer schema":       {newer, "update the library", sqlite.ErrNewerSchema},
		"newer, unavailable": {newer, "update the library", incident.ErrUnavailable},
	} {
		_, err := sqlite.Open(t.Context(), c.path, nil)
		wantError(t, "Open() of: "+name, err, c.remedy, c.matches)
	}
	for _, o := range []sqlite.Options{{Readers: -1}, {Readers: 65}, {BusyTimeout: -1}, {Synchronous: 7}} {
		_, err := sqlite.Open(t.Context(), newPath(t), &o)
		wantError(t, fmt.Sprintf("Open() with %+v", o), err, "must", incident.ErrInvalid)
	}
}

// A damaged file is reported as such.
func TestOpen_corrupt(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		mustCreate(t, s, strings.Repeat("x", 900))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3 * 4096; i < len(content); i++ {
		content[i] = 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := sqlite.Open(t.Context(), path, nil)
	if err == nil {
		defer damaged.Close()
		_, err = create(t.Context(), damaged, "x")
	}
	wantError(t, "Apply() to a damaged file", err, "restore a backup", incident.ErrUnavailable)
}

// A path may have any characters.
func TestOpen_path(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with space.db", "?mode=memory", "50%25.db", "#x", "a&b=c", "ünï", "file:x"} {
		path := filepath.Join(t.TempDir(), name)
		s := mustOpen(t, path, nil)
		mustCreate(t, s, "x")
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("Open(%q) made no such file: %v", name, err)
		}
		if s.Path() != path {
			t.Errorf("Path() = %q, want %q", s.Path(), path)
		}
	}
}
