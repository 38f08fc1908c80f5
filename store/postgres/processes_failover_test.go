//go:build unix

package postgres_test

import (
	"context"
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
// has no gap. That holds for the writes that begin once the standby has taken over. An earlier write is
// sent again to the standby: on a busy machine so late that the standby has counted to the same version.
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
	var early sync.Map // the UUIDs of the writes that began before the standby had taken over
	var hasTakenOver atomic.Bool
	var managers [2]incident.Manager
	for i := range managers {
		m := mustManager(t, mustNew(t, mustOpen(t, p.proxy.URL(), 8), nil))
		managers[i] = m
		running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
		for w := range 4 {
			running.Go(func() {
				statuses := []incident.Status{incident.StatusWarning, incident.StatusCritical, incident.StatusOpen, incident.StatusClosed}
				for n := w; ctx.Err() == nil; n++ {
					id := uuid.New()
					if !hasTakenOver.Load() {
						early.Store(id, true)
					}
					_, err := m.UpdateStatus(ctx, keyOf(1+n%contended), incident.StatusUpdate{Status: statuses[rand.IntN(4)], NotificationUUID: id})
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
	hasTakenOver.Store(true)
	target := written.Load() + 500
	for deadline := time.Now().Add(2 * time.Minute); written.Load() < target; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the writers make no progress after the failover")
		}
	}
	cancel()
	running.Wait()
	s := mustNew(t, mustOpen(t, p.server.URL(), 4), nil)
	m := mustManager(t, s)
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil && !hasEarlyGap(t, m, &early) {
		t.Error(err)
	}
}

// hasEarlyGap reports whether an early write was based on another status than the one before it, and
// no later write was.
func hasEarlyGap(t *testing.T, m incident.Manager, early *sync.Map) (found bool) {
	t.Helper()
	for i := range contended {
		status := incident.StatusOpen
		f := incident.ActivityFilter{Limit: incident.MaxPageSize}
		for {
			page, err := m.Activities(t.Context(), keyOf(1+i), f)
			mustDo(t, err)
			for _, a := range page.Activities {
				if a.Type != incident.ActivityTypeStatusChange {
					continue
				}
				if a.PreviousValue != status {
					if _, is := early.Load(a.NotificationUUID); !is {
						return false
					}
					found = true
				}
				status = a.Value
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	return found
}
