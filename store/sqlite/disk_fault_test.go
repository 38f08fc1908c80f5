//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	lib "modernc.org/sqlite/lib"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
)

// diskFaults are the failures of a write or a sync, each with its remedy.
var diskFaults = []struct {
	name   string
	kind   diskOpKind
	code   int32
	remedy string
}{
	{"the disk is full", diskWrite, lib.SQLITE_FULL, "free space"},
	{"a write fails", diskWrite, lib.SQLITE_IOERR_WRITE, "check the disk"},
	{"a sync fails", diskSync, lib.SQLITE_IOERR_FSYNC, "check the disk"},
}

// The n-th operation on the disk fails, for each n of some concurrent writes and a checkpoint. What was
// acknowledged is there, what was refused is not, and a write of unknown outcome is there as a
// whole or not at all. The store remains usable.
func TestWriter_faults(t *testing.T) {
	t.Parallel()
	for _, fault := range diskFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			d := recordDisk(t, path)
			s := mustOpen(t, path, nil)
			m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
			if err != nil {
				t.Fatal(err)
			}
			outcomes := map[string]error{} // by title
			most, step := int64(90), int64(7)
			if fault.kind == diskSync {
				most, step = 8, 1
			}
			if long {
				step = 1
			}
			refused := 0
			for n := int64(1); n <= most; n += step {
				failed := failNth(d, fault.kind, n, fault.code)
				for title, err := range createTogether(m, fmt.Sprintf("fault %d", n)) {
					outcomes[title] = err
					if err == nil {
						continue
					}
					refused++
					if !errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, incident.ErrUnknownOutcome) || !strings.Contains(err.Error(), fault.remedy) {
						t.Errorf("operation %d: Create() = %v, want the remedy %q", n, err, fault.remedy)
					}
				}
				s.Checkpoint()
				d.setFault(nil)
				outcomes[fmt.Sprintf("after %d", n)] = createTitled(m, fmt.Sprintf("after %d", n))
				if err := outcomes[fmt.Sprintf("after %d", n)]; err != nil {
					t.Errorf("after operation %d failed (%t), Create() = %v, want nil", n, failed(), err)
				}
			}
			if refused == 0 {
				t.Error("no write was refused")
			}
			checkOutcomes(t, m, s, path, outcomes)
		})
	}
}

// failNth makes the n-th operation of a kind fail. The returned function reports whether it has.
func failNth(d *diskLog, kind diskOpKind, n int64, code int32) (failed func() bool) {
	did := false
	d.setFault(func(k diskOpKind) int32 { // is called with the lock of d
		if k != kind {
			return lib.SQLITE_OK
		}
		if n--; n == 0 {
			did = true
			return code
		}
		return lib.SQLITE_OK
	})
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return did
	}
}

func createTitled(m incident.Manager, title string) error {
	_, err := m.Create(context.Background(), incident.NewIncident{OrganizationID: "acme", Title: title})
	return err
}

// createTogether creates six incidents, three at a time, and returns the errors by title.
func createTogether(m incident.Manager, title string) map[string]error {
	outcomes := map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range 3 {
		all.Go(func() {
			for i := range 2 {
				title := fmt.Sprintf("%s, writer %d, incident %d", title, w, i)
				err := createTitled(m, title)
				mu.Lock()
				outcomes[title] = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return outcomes
}

// checkOutcomes fails unless the incidents are as the outcomes of their creations say.
func checkOutcomes(t *testing.T, m incident.Manager, s incident.OutboxStore, path string, outcomes map[string]error) {
	t.Helper()
	there := map[string]int{}
	for n := int64(1); ; n++ {
		st, err := s.Load(t.Context(), incident.Key{OrganizationID: "acme", Identifier: n})
		if errors.Is(err, incident.ErrNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		there[st.Incident.Title]++
	}
	unknown := 0
	for title, err := range outcomes {
		switch n := there[title]; {
		case errors.Is(err, incident.ErrUnknownOutcome) && n <= 1:
			unknown++
		case err == nil && n == 1, err != nil && n == 0:
		default:
			t.Errorf("there are %d incidents %q, and Create() returned %v", n, title, err)
		}
	}
	t.Logf("%d creations, of which %d have an unknown outcome; %d incidents", len(outcomes), unknown, len(there))
	err := errors.Join(managertest.Audit(t.Context(), m, s, "acme"), managertest.AuditOutbox(t.Context(), m, s, "acme"))
	if err != nil {
		t.Error(err)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check = %s", result)
	}
}
