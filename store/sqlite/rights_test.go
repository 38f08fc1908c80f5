//go:build unix

package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/incidentkit/incident/store/sqlite"
)

func init() {
	// The process has no rights of root.
	tasks["open without root"] = func(ctx context.Context, t task) error {
		if syscall.Getuid() == 0 {
			if err := syscall.Setuid(65534); err != nil {
				return err
			}
		}
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, &t.Options)
		if err == nil {
			defer s.Close()
			_, err = create(context.WithoutCancel(ctx), s, "x")
		}
		fmt.Println(strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
		return nil
	}
}

// A file or directory without the needed rights is refused with the remedy, and is not changed.
func TestOpen_rights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, dir os.FileMode // file is 0 if it does not exist
		want      string
	}{
		"all rights":                  {0o666, 0o777, "<nil>"},
		"read-only file":              {0o444, 0o777, "the file or its directory is read-only; give the process the right to write both"},
		"unreadable file":             {0o200, 0o777, "the process needs the right to write the file and the directory"},
		"read-only directory":         {0o666, 0o555, "the file or its directory is read-only; give the process the right to write both"},
		"new, read-only directory":    {0, 0o555, "the directory must exist and be writable"},
		"new, inaccessible directory": {0, 0o200, "the directory must exist and be writable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "incidents.db")
			if c.file != 0 {
				s, err := sqlite.Open(t.Context(), path, nil)
				if err != nil {
					t.Fatal(err)
				}
				mustCreate(t, s, "before")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				mustChmod(t, path, c.file)
			}
			mustChmod(t, filepath.Dir(dir), 0o755) // so that another user gets there
			mustChmod(t, dir, c.dir)
			lines := startChild(t, task{Name: "open without root", Path: path}).stop(t)
			mustChmod(t, dir, 0o777)
			if len(lines) != 1 || !strings.Contains(lines[0], c.want) {
				t.Errorf("Open() and Apply() = %q, want %q", lines, c.want)
			}
			if _, err := os.Stat(path); c.file == 0 && err == nil {
				t.Error("a refused Open() leaves a file")
			}
		})
	}
}

func mustChmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
