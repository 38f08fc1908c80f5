//go:build unix

package sqlite_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
)

// A restored backup replaces a database whose process was killed. The log of that process is not
// applied to the copy, and new incidents continue the numbers of the copy.
func TestBackup_restoredAfterKill(t *testing.T) {
	t.Parallel()
	path, backup := newPath(t), filepath.Join(t.TempDir(), "backup.db")
	s := mustOpen(t, path, nil)
	victim := startChild(t, task{Name: "write", Path: path})
	var first acknowledged
	if err := json.Unmarshal([]byte(victim.next()), &first); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		victim.next() // is written after the backup
	}
	victim.kill()
	if sizeOf(t, path+"-wal") == 0 {
		t.Fatal("the killed process left no log")
	}
	want := count(t, backup, "SELECT count(*) FROM incident")
	if err := restore(backup, path); err != nil {
		t.Fatal(err)
	}
	restored := mustOpen(t, path, nil)
	if n := count(t, path, "SELECT count(*) FROM incident"); n != want {
		t.Errorf("the restored database has %d incidents, want the %d of the backup", n, want)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check of the restored database = %s", result)
	}
	m, err := incident.New(restored, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := managertest.Audit(t.Context(), m, restored, bystander); err != nil {
		t.Error(err)
	}
	st, err := restored.Load(t.Context(), incident.Key{OrganizationID: bystander, Identifier: first.Identifier})
	if err != nil || st.Incident.Title != first.Title {
		t.Errorf("incident %d was acknowledged before the backup as %q, and is %q, %v", first.Identifier, first.Title, st.Incident.Title, err)
	}
	inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: bystander, Title: "after"})
	if err != nil || inc.Identifier != int64(want)+1 {
		t.Errorf("the next incident is %v, %v; want number %d", inc.Key(), err, want+1)
	}
	if _, err := os.Stat(backup); !os.IsNotExist(err) {
		t.Errorf("the backup is still at its old place: %v", err)
	}
}
