package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
)

// A backup under load is of one moment: it has all that was acknowledged before, nothing torn,
// and passes the audit.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				r, err := m.Create(context.Background(), incident.NewIncident{OrganizationID: "acme", Title: "x"})
				if err == nil {
					_, err = m.UpdateStatus(context.Background(), r.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	before, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "before"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(t.Context(), path); err != nil {
		t.Error(err)
	}
	position, err := s.Changes(t.Context(), "")
	if err != nil {
		t.Error(err)
	}
	cancel()
	all.Wait()
	restored := mustOpen(t, path, nil)
	if _, err := restored.Load(t.Context(), before.Key()); err != nil {
		t.Errorf("the backup lacks an incident that was acknowledged before: %v", err)
	}
	rm, err := incident.New(restored, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := managertest.Audit(t.Context(), rm, restored, "acme"); err != nil {
		t.Error(err)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check of the backup = %s", result)
	}
	for range 2000 { // beyond the position
		mustCreate(t, restored, "after")
	}
	if changes, err := restored.Changes(t.Context(), position.Position); err != nil || !changes.Reset {
		t.Errorf("Changes() of a position before the backup was restored = %+v, %v; want a reset", changes, err)
	}
	err = s.Backup(t.Context(), path)
	wantError(t, "Backup() to a path that exists", err, "exists", incident.ErrInvalid)
	ended, end := context.WithCancel(t.Context())
	end()
	other := filepath.Join(t.TempDir(), "other.db")
	wantError(t, "Backup() in an ended context", s.Backup(ended, other), "", context.Canceled)
	if files, err := os.ReadDir(filepath.Dir(other)); err != nil || len(files) > 0 {
		t.Errorf("a failed backup left %v, %v", files, err)
	}
}

// A path may be relative to the working directory. The test must not run beside others.
func TestBackup_relativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("file:x", 0o700); err != nil { // SQLite reads such a path as a URI
		t.Fatal(err)
	}
	s := mustOpen(t, "incidents.db", nil)
	n := mustCreate(t, s, "x")
	for _, path := range []string{"copy.db", "./file:x/copy.db", "file:x/other.db"} {
		if err := s.Backup(t.Context(), path); err != nil {
			t.Errorf("Backup(%q) = %v", path, err)
			continue
		}
		if _, err := load(mustOpen(t, path, nil), n); err != nil {
			t.Errorf("Load() from the backup %q = %v", path, err)
		}
	}
	wantError(t, "Backup() without a path", s.Backup(t.Context(), ""), "is required", incident.ErrInvalid)
}
