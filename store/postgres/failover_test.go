//go:build unix

package postgres_test

import (
	"os"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// When a synchronous standby takes over, processes at work lose nothing that was
// acknowledged to them, write nothing twice, and read nothing that is older than a second.
func TestProcesses_failover(t *testing.T) {
	t.Parallel()
	rounds := 1
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
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

// mustStandby starts a standby that every commit of the server waits for.
func mustStandby(t *testing.T, server *pgtest.Server) *pgtest.Server {
	t.Helper()
	standby, err := server.Standby()
	mustDo(t, err)
	t.Cleanup(standby.Stop)
	mustDo(t, server.WaitForStandby())
	return standby
}
