//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
)

// When a synchronous standby takes over, running processes lose no acknowledged write,
// write nothing twice, and read nothing older than a second.
func TestProcesses_failover(t *testing.T) {
	t.Parallel()
	rounds := 1
	if long {
		rounds = 4
	}
	server, _ := startServer(t)
	standby := mustStandby(t, server)
	failovers := make([]func(t *testing.T, m *machine), rounds)
	for i := range failovers {
		failovers[i] = func(t *testing.T, m *machine) {
			m.server.Kill()
			mustDo(t, standby.Promote(), m.proxy.Retarget(standby.URL()))
			m.server = standby
			if i < rounds-1 {
				standby = mustStandby(t, m.server)
				time.Sleep(time.Second)
			}
		}
	}
	processesAt(t, server, "", failovers...)
}

// mustStandby starts a standby. Every commit of the server waits for it.
func mustStandby(t *testing.T, server *pgtest.Server) *pgtest.Server {
	t.Helper()
	standby, err := server.Standby()
	mustDo(t, err)
	t.Cleanup(standby.Stop)
	mustDo(t, server.WaitForStandby())
	return standby
}

// contended is the number of incidents, small enough that versions soon repeat.
const contended = 2

// When an asynchronous standby takes over, writes that it has not received are lost for
// all processes. No later write is based on a lost write, so that each incident's history
// has no gap.
func TestHistory_writers(t *testing.T) {
	t.Parallel()
	l := failover()
	p := newPast(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	p.other(t, "").mustCreate(t, "Kept", survivors)
	var written atomic.Int64
	var managers [2]incident.Manager
	for i := range managers {
		m := mustManager(t, mustNew(t, mustOpen(t, p.proxy.URL(), 8), nil))
		managers[i] = m
		running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
		for w := range 4 {
			running.Go(func() {
				statuses := []incident.Status{incident.StatusWarning, incident.StatusCritical, incident.StatusOpen, incident.StatusClosed}
				for n := w; ctx.Err() == nil; n++ {
					_, err := m.UpdateStatus(ctx, keyOf(1+n%contended), incident.StatusUpdate{Status: statuses[rand.IntN(4)]})
					if err == nil {
						written.Add(1)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	l.begin(t, p)
	time.Sleep(100 * time.Millisecond)
	l.lose(t, p)
	target := written.Load() + 500
	for deadline := time.Now().Add(2 * time.Minute); written.Load() < target; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the writers make no progress after the failover")
		}
	}
	cancel()
	running.Wait()
	s := mustNew(t, mustOpen(t, p.server.URL(), 4), nil)
	if err := managertest.Audit(t.Context(), mustManager(t, s), s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}

// A server that took over without the last commits may have counted to the version on which a write
// was decided. A change of another status than the stored status is refused then, and writes nothing.
func TestStore_statusOfAnotherHistory(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	inc, err := mustManager(t, s).Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	mustDo(t, err)
	for _, test := range []struct {
		before incident.Status
		want   error
	}{{incident.StatusCritical, incident.ErrVersionConflict}, {incident.StatusOpen, nil}} {
		after := inc.Clone()
		after.Version, after.Status = inc.Version+1, incident.StatusWarning
		_, err := s.Apply(t.Context(), incident.Change{
			Key: inc.Key(), Incident: &after, ExpectVersion: inc.Version, StartedBefore: inc.DateStarted,
			Activities: []incident.Activity{{
				Type: incident.ActivityTypeStatusChange, Value: incident.StatusWarning, PreviousValue: test.before,
				DateAdded: inc.DateAdded, NotificationUUID: uuid.New(),
			}},
		})
		if !errors.Is(err, test.want) {
			t.Errorf("Apply() of a change of %s = %v, want %v", test.before, err, test.want)
		}
		stored, err := s.Load(t.Context(), inc.Key())
		if wrote := stored.Incident.Version > inc.Version; err != nil || wrote != (test.want == nil) {
			t.Errorf("after a change of %s there is version %d, %v", test.before, stored.Incident.Version, err)
		}
	}
}
