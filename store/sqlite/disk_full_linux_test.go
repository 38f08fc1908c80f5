package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/incidentkit/incident"
)

// On a full disk, writes are refused with the remedy, and reads are answered. What was
// acknowledged is there. Writes succeed again once there is space. The test needs the right to
// mount a file system.
func TestWriter_diskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("the process may not mount a file system, which CI may: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "incidents.db")
	s := mustOpen(t, path, nil)
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]error{}
	refused := 0
	for i := 0; refused < 20; i++ {
		title := fmt.Sprintf("%d %s", i, strings.Repeat("x", 200))
		if outcomes[title] = createTitled(m, title); outcomes[title] != nil {
			refused++
			wantError(t, "Create() on a full disk", outcomes[title], "free space", incident.ErrUnavailable)
		}
		if i > 10_000 {
			t.Fatal("the disk does not become full")
		}
	}
	if _, err := load(s, 1); err != nil {
		t.Errorf("Load() on a full disk = %v, want nil", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if outcomes["after"] = createTitled(m, "after"); outcomes["after"] != nil {
		t.Errorf("Create() after space was freed = %v, want nil", outcomes["after"])
	}
	checkOutcomes(t, m, s, path, outcomes)
}
