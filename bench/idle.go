package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// countStatements is the server setting that idleStatements requires.
const countStatements = "shared_preload_libraries = 'pg_stat_statements'"

// statementsSQL counts all statements except those about the counters themselves.
const statementsSQL = `
SELECT coalesce(sum(calls), 0)
FROM pg_stat_statements
WHERE query NOT LIKE '%pg_stat_statements%'`

// idleStatements returns the number of statements per second that the server executes
// while nobody makes calls, in all databases.
//
// The extension pg_stat_statements counts them. It is part of PostgreSQL's packages. The
// commits in pg_stat_database would be no measure: a transaction counts once however many
// statements it has; a statement with arguments from lib/pq counts twice, because it is
// parsed in a separate transaction; and autovacuum counts too.
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

const idleName = "Get at 1,000 reads per second, after 2 s without reads"

// idleFeed measures the statements of a feed while nobody reads, and whether its sleep
// slows down later reads.
func (b *bench) idleFeed(ctx context.Context, s *server) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var managers [2]incident.Manager
	var pool *sqlx.DB
	for i := range managers {
		m, db, _, err := s.manager(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := create(ctx, m, "acme"); err != nil {
			return err
		}
		running.Go(func() { _ = m.Run(ctx) }) // ends with its context
		managers[i], pool = m, db
	}
	time.Sleep(2 * time.Second) // until the feeds sleep
	perSecond, err := idleStatements(ctx, pool, idleTime)
	if err != nil {
		return err
	}
	b.note("Two processes with a cache that nobody reads: %.2f statements per second; the limit is 0.1.", perSecond)
	if perSecond > 0.1 {
		b.fail("Two idle processes send %.2f statements per second, want at most 0.1.", perSecond)
	}
	sleeping, polling := managers[0], managers[1]
	running.Go(func() { // keeps its feed awake
		for ctx.Err() == nil {
			_, _ = polling.Get(ctx, incident.Key{OrganizationID: "acme", Identifier: 1})
			time.Sleep(100 * time.Millisecond)
		}
	})
	for _, q := range []float64{0.5, 0.99} {
		r := result{comparison: comparison{
			ours:       &side{name: fmt.Sprintf("%s, %.0f %% of the reads", idleName, 100*q)},
			theirs:     &side{name: "a feed that never sleeps"},
			goroutines: 1, bar: 1 / 1.2,
		}}
		var ours, theirs []float64
		for range b.rounds {
			time.Sleep(2 * time.Second)
			a, err1 := pacedReads(ctx, sleeping, b.length)
			p, err2 := pacedReads(ctx, polling, b.length)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			ours = append(ours, 1/quantile(a, q).Seconds())
			theirs = append(theirs, 1/quantile(p, q).Seconds())
			r.ratios = append(r.ratios, ours[len(ours)-1]/theirs[len(theirs)-1])
		}
		r.oursRate, r.theirsRate = median(ours), median(theirs)
		b.add(r)
	}
	return nil
}

// pacedReads reads an incident every millisecond, and returns the duration of each read.
func pacedReads(ctx context.Context, m incident.Manager, length time.Duration) (took []time.Duration, err error) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-ticker.C {
		start := time.Now()
		if _, err := m.Get(ctx, incident.Key{OrganizationID: "acme", Identifier: 1}); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
