package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

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
	mustWait(t, func() (bool, error) {
		waiting := 0
		err := pool.Get(&waiting, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		return waiting > 0 || len(done) > 0, err
	})
	if err := tool.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("beside a tool: %v", err)
	}
}

// A tool that takes no advisory lock makes a version each time that Migrate inspects the
// database, between Migrate's statements.
func TestMigrate_inspectsBesideATool(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 4)
	all := postgres.Embedded()
	mustMigrateTo(t, pool, nil, 1)
	steps := all[1:]
	version, err := postgres.FindVersion(t.Context(), pool, disturbed{pool, func() {
		if len(steps) > 0 {
			pool.MustExec(steps[0].Up)
			steps = steps[1:]
		}
	}})
	if err != nil || version != len(all) {
		t.Errorf("found version %d and the error %v, want %d", version, err, len(all))
	}
}

// disturbed is a queryer that calls disturb before each query of a version.
type disturbed struct {
	sqlx.QueryerContext
	disturb func()
}

func (d disturbed) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if strings.HasPrefix(query, "SELECT version, serves") {
		d.disturb()
	}
	return d.QueryerContext.QueryRowxContext(ctx, query, args...)
}
