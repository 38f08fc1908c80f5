package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// A tool that takes no advisory lock commits a step while Migrate waits to take the same step.
// Migrate does not fail.
func TestMigrate_meetsATool(t *testing.T) {
	t.Parallel()
	all := postgres.Embedded()
	for version := 1; version <= len(all); version++ {
		t.Run(fmt.Sprint("to version ", version), func(t *testing.T) {
			t.Parallel()
			checkMeeting(t, version-1, all[version-1].Up)
		})
	}
}

// checkMeeting commits a step from a version while Migrate waits for it.
func checkMeeting(t *testing.T, from int, step string) {
	t.Helper()
	pool := mustOpen(t, pgtest.NewDatabase(t)+"&deadlock_timeout=60s", 4) // so that a step waits up to 3 s for a lock
	if from > 0 {
		mustMigrateTo(t, pool, nil, from)
	}
	tool := pool.MustBegin()
	defer tool.Rollback()
	tool.MustExec(step)
	done := make(chan error, 1)
	go func() { done <- postgres.Migrate(t.Context(), pool, nil) }()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		if err := pool.Get(&waiting, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"); err != nil {
			t.Fatal(err)
		}
	}
	if err := tool.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("beside a tool: %v", err)
	}
	mustNew(t, pool, nil)
}
