package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// A tool that takes no advisory lock commits a step while Migrate or Unmigrate waits to take the
// same step. Neither fails.
func TestMigrate_meetsATool(t *testing.T) {
	t.Parallel()
	all := postgres.Embedded()
	for i, m := range all {
		t.Run(fmt.Sprint("up to ", i+1), func(t *testing.T) {
			t.Parallel()
			pool := beforeMeeting(t, i)
			meet(t, pool, m.Up, postgres.Migrate)
			mustNew(t, pool, nil)
		})
		t.Run(fmt.Sprint("down from ", i+1), func(t *testing.T) {
			t.Parallel()
			pool := beforeMeeting(t, i+1)
			meet(t, pool, m.Down, postgres.Unmigrate)
			mustMigrate(t, pool, nil)
			mustNew(t, pool, nil)
		})
	}
}

// beforeMeeting makes tables of a version, and none of version 0. A step waits up to 3 s for a
// lock of them.
func beforeMeeting(t *testing.T, version int) *sqlx.DB {
	t.Helper()
	pool := mustOpen(t, pgtest.NewDatabase(t)+"&deadlock_timeout=60s", 4)
	if version > 0 {
		mustMigrateTo(t, pool, nil, version)
	}
	return pool
}

// meet commits a step of a tool while run waits for it.
func meet(t *testing.T, pool *sqlx.DB, step string, run func(context.Context, *sqlx.DB, *postgres.Options) error) {
	t.Helper()
	tool := pool.MustBegin()
	defer tool.Rollback()
	tool.MustExec(step)
	done := make(chan error, 1)
	go func() { done <- run(t.Context(), pool, nil) }()
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
}
