package sqlite_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
)

// The log is on disk before a write is acknowledged. If power is lost, the file system may have
// any part of what was written after that. Whatever the length at which the log is cut, what was
// acknowledged at that length is there, and nothing is torn.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	const writes = 12
	var acknowledgedAt []int64 // the length of the log when incident i+1 was acknowledged
	for i := range writes {
		if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: fmt.Sprintf("incident %d", i+1)}); err != nil {
			t.Fatal(err)
		}
		acknowledgedAt = append(acknowledgedAt, sizeOf(t, path+"-wal"))
	}
	db, err1 := os.ReadFile(path)
	log, err2 := os.ReadFile(path + "-wal")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	step := int64(1361)
	if long {
		step = 97
	}
	for cut := acknowledgedAt[0]; cut <= int64(len(log)); cut += step {
		checkCut(t, db, log[:cut], acknowledgedAt)
	}
	// A part of the log may be missing in the middle of what was not yet acknowledged.
	for i := 1; i < writes; i++ {
		torn := append([]byte(nil), log...)
		clear(torn[acknowledgedAt[i-1]+100 : acknowledgedAt[i-1]+200])
		checkCut(t, db, torn, acknowledgedAt[:i])
	}
}

// checkCut fails unless the database with the log has all incidents that were acknowledged at
// the log's length, and is sound.
func checkCut(t *testing.T, db, log []byte, acknowledgedAt []int64) {
	t.Helper()
	path := newPath(t)
	if err := os.WriteFile(path, db, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, nil)
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	for i, length := range acknowledgedAt {
		if length > int64(len(log)) {
			break
		}
		if st, err := load(s, int64(i+1)); err != nil || st.Incident.Title != fmt.Sprintf("incident %d", i+1) {
			t.Errorf("the log was cut at %d bytes, and incident %d, acknowledged at %d, is %q, %v", len(log), i+1, length, st.Incident.Title, err)
		}
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Errorf("the log was cut at %d bytes: %v", len(log), err)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("the log was cut at %d bytes: integrity_check = %s", len(log), result)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
