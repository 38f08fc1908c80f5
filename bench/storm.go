package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// manyFirings is the minimum number of firings in a storm.
const manyFirings = 100_000

// storm fires the same active trigger from 16 goroutines, and compares the rate with
// selecting the version of a row by its primary key. The check is that nothing was
// written.
func storm(ctx context.Context, s *server) ([]comparison, func() (string, error), error) {
	m, db, opts, err := s.manager(ctx)
	if err != nil {
		return nil, nil, err
	}
	f := incident.Firing{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: project},
		TriggerID: "critical", Severity: incident.StatusCritical, Title: title,
	}
	opened, err := openedApart(ctx, s, opts, f)
	if err != nil {
		return nil, nil, err
	}
	bare, err := prepare(ctx, db, opts.Schema, `SELECT version FROM @incident WHERE organization_id = $1 AND identifier = $2`)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { _ = m.Run(ctx) }) // ends with its context
	fire := func(int, int) error {
		r, err := m.Fire(ctx, f)
		if err == nil && (r.Changed || r.Identifier != opened.Identifier) {
			err = fmt.Errorf("firing again changed %+v", r)
		}
		return err
	}
	sel := func(int, int) error {
		var version int64
		return bare.QueryRowContext(ctx, "acme", opened.Identifier).Scan(&version)
	}
	before, err := rowsWritten(ctx, s, opts.Schema)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	ours := &side{name: "Fire of one active trigger", call: fire}
	check := func() (string, error) {
		cancel()
		run.Wait()
		_ = db.Close() // a closed connection has reported its counters
		after, err := rowsWritten(context.WithoutCancel(ctx), s, opts.Schema)
		made := calls(ours)
		if err != nil || made == 0 {
			return "", err
		}
		if after != before || made < manyFirings {
			err = fmt.Errorf("%d firings of one active trigger wrote %d rows, want 0 rows, of at least %d firings", made, after-before, manyFirings)
		}
		return fmt.Sprintf("%d firings of one active trigger wrote no row.", made), err
	}
	return []comparison{{
		ours:       ours,
		theirs:     &side{name: "SELECT version by primary key", call: sel},
		goroutines: 16, bar: 0.7,
	}}, check, nil
}

// openedApart fires on connections of its own, and closes them before it returns.
func openedApart(ctx context.Context, s *server, opts *postgres.Options, f incident.Firing) (r incident.Result, err error) {
	db, err := s.open(ctx)
	if err != nil {
		return r, err
	}
	defer db.Close()
	store, err := postgres.New(db, opts)
	if err != nil {
		return r, err
	}
	m, err := incident.New(store, nil)
	if err != nil {
		return r, err
	}
	return m.Fire(ctx, f)
}

// rowsWritten returns the number of rows written in a schema so far by closed connections, without the
// table of the schema's version: the connection that has migrated is open, and may report what it wrote
// at any time.
func rowsWritten(ctx context.Context, s *server, schema string) (n int64, err error) {
	db, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	time.Sleep(time.Second)
	err = db.GetContext(ctx, &n, `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
		FROM pg_stat_user_tables WHERE schemaname = $1 AND relname <> 'incident_schema'`, schema)
	return n, err
}
