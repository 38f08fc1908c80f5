//go:build unix

package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/sqlite"
)

// A loss of power is tried after each operation on the files of a database, in all ways of disk:
// from the first write of Open, during commits and during checkpoints. Whatever the disk has then,
// the database is sound, and no change is torn. With SynchronousFull all acknowledged steps are
// there. With SynchronousNormal only the last steps may be missing. The short form tries a sample.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		synchronous sqlite.Synchronous
		writers     int
	}{
		"full":                     {sqlite.SynchronousFull, 1},
		"full, concurrent writers": {sqlite.SynchronousFull, 4},
		"normal":                   {sqlite.SynchronousNormal, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := recordSteps(t, c.synchronous, c.writers)
			tries, lost := 0, 0
			share := 40 / float64(len(d.ops))
			for d.advance() {
				for loss := range waysToLosePower {
					if !long && rand.Float64() >= share/float64(waysToLosePower) {
						continue
					}
					tries++
					lost += checkPowerLoss(t, d, loss, c.synchronous, c.writers)
				}
			}
			t.Logf("%d losses of power during %d operations lost %d acknowledged steps", tries, len(d.ops), lost)
			if c.synchronous == sqlite.SynchronousNormal && lost == 0 {
				t.Error("no loss of power has lost anything, although nothing was synchronized: the model of the disk is wrong")
			}
		})
	}
}

// powerLossSteps is the number of steps of a writer. Step n of a writer creates an incident if n
// is odd, and closes it if n is even.
const powerLossSteps = 40

// recordSteps runs the steps of each writer in an organization of its own, with checkpoints beside
// them, and returns the disk before the first operation.
func recordSteps(t *testing.T, synchronous sqlite.Synchronous, writers int) *disk {
	t.Helper()
	path := newPath(t)
	log := recordDisk(t, path)
	s, err := sqlite.Open(t.Context(), path, &sqlite.Options{Synchronous: synchronous})
	if err != nil {
		t.Fatal(err)
	}
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 1; n <= powerLossSteps/writers; n++ {
				if err := powerLossStep(m, w, n); err != nil {
					t.Error(err)
					return
				}
				log.add(diskOp{kind: diskAcknowledge, writer: w, step: n})
				if n%6 == 0 {
					s.Checkpoint()
				}
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return &disk{ops: log.ops, files: map[string]*diskFile{"": {}}, steps: map[int]int{}}
}

func powerLossOrg(writer int) incident.OrganizationID {
	return incident.OrganizationID(fmt.Sprintf("writer %d", writer))
}

func powerLossStep(m incident.Manager, writer, n int) error {
	org := powerLossOrg(writer)
	if n%2 == 1 {
		_, err := m.Create(context.Background(), incident.NewIncident{OrganizationID: org, Title: fmt.Sprintf("step %d", n)})
		return err
	}
	key := incident.Key{OrganizationID: org, Identifier: int64(n / 2)}
	_, err := m.UpdateStatus(context.Background(), key, incident.StatusUpdate{Status: incident.StatusClosed})
	return err
}

// checkPowerLoss opens the database after a loss of power, and returns the number of
// acknowledged steps that are missing.
func checkPowerLoss(t *testing.T, d *disk, loss powerLoss, synchronous sqlite.Synchronous, writers int) (lost int) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "incidents.db")
	d.write(t, path, loss)
	when := fmt.Sprintf("power was lost after operation %d of %d in way %d", d.next, len(d.ops), loss)
	s, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return 0
	}
	defer s.Close()
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	var orgs []incident.OrganizationID
	for w := range writers {
		orgs = append(orgs, powerLossOrg(w))
		steps := stepsDone(t, m, w)
		if missing := d.steps[w] - steps; missing > 0 {
			lost += missing
			if synchronous == sqlite.SynchronousFull {
				t.Errorf("%s: %d steps of writer %d were acknowledged, and %d are there", when, d.steps[w], w, steps)
			}
		}
	}
	if err := managertest.Audit(t.Context(), m, s, orgs...); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	if err := managertest.AuditOutbox(t.Context(), m, s, orgs...); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("%s: integrity_check = %s", when, result)
	}
	return lost
}

// stepsDone returns the number of a writer's steps that are in the database. It fails if a step is
// there without those before it.
func stepsDone(t *testing.T, m incident.Manager, writer int) (steps int) {
	t.Helper()
	page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: powerLossOrg(writer), Limit: incident.MaxPageSize})
	if err != nil {
		t.Error(err)
		return 0
	}
	closed := map[int64]bool{}
	for _, inc := range page.Incidents {
		closed[inc.Identifier] = inc.Status == incident.StatusClosed
	}
	for n := int64(1); n <= int64(len(page.Incidents)); n++ {
		isClosed, is := closed[n]
		if last := n == int64(len(page.Incidents)); !is || !isClosed && !last {
			t.Errorf("writer %d has %d incidents, and lacks a step of incident %d", writer, len(page.Incidents), n)
		}
		steps = int(2*n) - 1
		if isClosed {
			steps++
		}
	}
	return steps
}
