package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// countStatements is the setting of a server on which idleStatements works.
const countStatements = "shared_preload_libraries = 'pg_stat_statements'"

// What reads or resets the counters is not counted.
const statementsSQL = `
SELECT coalesce(sum(calls), 0)
FROM pg_stat_statements
WHERE query NOT LIKE '%pg_stat_statements%'`

// idleStatements returns how many statements a second the server executes, in all of
// its databases, while the caller leaves it to those who wait for something to do.
//
// The extension pg_stat_statements counts them. It comes with the server in the
// packages that tests install. The commits in pg_stat_database would tell something
// else: there a transaction is one however many statements it has, a statement that
// lib/pq sends with arguments is two, since it is parsed in a transaction of its own,
// and those of autovacuum are among them.
func idleStatements(ctx context.Context, db *sqlx.DB, over time.Duration) (perSecond float64, err error) {
	if _, err := db.ExecContext(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return 0, err
	}
	if _, err := db.ExecContext(ctx, "SELECT pg_stat_statements_reset()"); err != nil {
		return 0, fmt.Errorf("%w (the server needs %s)", err, countStatements)
	}
	start := time.Now()
	select {
	case <-time.After(over):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var calls int64
	if err := db.GetContext(ctx, &calls, statementsSQL); err != nil {
		return 0, err
	}
	return float64(calls) / time.Since(start).Seconds(), nil
}
