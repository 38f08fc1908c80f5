package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/incidentkit/incident/store/sqlite"
)

func init() {
	tasks["copy"] = func(_ context.Context, t task) error {
		content, err := os.ReadFile(t.Path)
		if err == nil {
			err = os.WriteFile(t.To, content, 0o600)
		}
		return err
	}
}

// A backup has no byte of an erased user or of a deleted organization. The file has none after VACUUM,
// which a host can run while the store is in use. Without it, the file keeps few copies of an erased
// user: SQLite overwrites deleted rows, except in pages that it has split or freed.
func TestStore_EraseUser_bytes(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 60)
	before := copiesOf(t, mustBackup(t, s))
	if before < 500 {
		t.Fatalf("the backup has %d copies of the user's ID, want more", before)
	}
	if _, err := eraseAll(t.Context(), s, "acme", ""); err != nil {
		t.Fatal(err)
	}
	if n := copiesOf(t, mustBackup(t, s)); n != 0 {
		t.Errorf("a backup has %d copies of the erased user's ID, want none", n)
	}
	closed := mustClosedCopy(t, path)
	if n := copiesOf(t, closed); n > before/10 {
		t.Errorf("the file has %d copies of the erased user's ID, and had %d", n, before)
	}
	fill(t, s, "other", 10)
	if _, err := deleteAll(t.Context(), s, "other"); err != nil {
		t.Fatal(err)
	}
	mustHostPool(t, path, "").MustExec("VACUUM")
	if n := copiesOf(t, mustClosedCopy(t, path)); n != 0 {
		t.Errorf("after VACUUM the file has %d copies of the erased user's ID, want none", n)
	}
	mustCreate(t, s, "x")
	if n := count(t, path, "PRAGMA freelist_count"); n > 2 {
		t.Errorf("after VACUUM the file has %d free pages", n)
	}
}

func mustBackup(t *testing.T, s *sqlite.Store) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustClosedCopy moves the log into the file of a store, and returns the path of a copy of the file's
// bytes. A program of its own reads the file: to close it would take the locks of the process.
func mustClosedCopy(t *testing.T, path string) string {
	t.Helper()
	pool := mustHostPool(t, path, "")
	eventually(t, "the log is not empty", func() bool {
		var kept bool // by a checkpoint of the store
		var pages, moved int
		if err := pool.QueryRowx("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&kept, &pages, &moved); err != nil {
			t.Fatal(err)
		}
		return !kept
	})
	to := filepath.Join(t.TempDir(), "copy.db")
	startChild(t, task{Name: "copy", Path: path, To: to}).stop(t)
	return to
}

func copiesOf(t *testing.T, path string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(content, []byte(leaver))
}
