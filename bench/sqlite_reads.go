package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/sqlite"
)

// sqliteReaders is the number of readers of both sides.
const sqliteReaders = 4

// sqliteReads compares reads that no cache answers with the bare statements, on the same file.
func sqliteReads(ctx context.Context, f *files, _ *server) ([]comparison, error) {
	const n = 1000
	store, err := f.store(ctx, &sqlite.Options{Readers: sqliteReaders})
	if err != nil {
		return nil, err
	}
	m, err := incident.New(store, nil)
	if err != nil {
		return nil, err
	}
	firings := make([]incident.Firing, n)
	for i := range firings {
		firings[i] = incident.Firing{
			Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: incident.AlertRuleID(fmt.Sprint("rule-", i)), ProjectID: project},
			TriggerID: "critical", Severity: incident.StatusCritical, Title: title, Date: time.Now(),
		}
		r, err := m.Fire(ctx, firings[i])
		if err == nil {
			_, err = m.MarkSeen(ctx, r.Key(), user)
		}
		if err == nil {
			_, err = m.Subscribe(ctx, r.Key(), user)
		}
		if err != nil {
			return nil, err
		}
	}
	bare, err := f.bareOn(ctx, store.Path(), sqliteReaders)
	if err != nil {
		return nil, err
	}
	number := func(g, i int) int64 { return int64((g*61+i)%n) + 1 }
	key := func(g, i int) incident.Key { return incident.Key{OrganizationID: "acme", Identifier: number(g, i)} }
	row := &side{name: "bare SELECT of a row by its key", call: func(g, i int) error { return bare.row("acme", number(g, i)) }}
	var all []comparison
	for _, c := range []struct {
		name   string
		bar    float64
		call   func(g, i int) error
		theirs *side
	}{
		{"Get", 0, func(g, i int) error { return only(m.Get(ctx, key(g, i))) }, row},
		{"Fire that changes nothing", 0.6, func(g, i int) error { return only(m.Fire(ctx, firings[number(g, i)-1])) }, row},
		{
			"Details", 0.5, func(g, i int) error { return only(m.Details(ctx, key(g, i), user)) },
			&side{name: "bare statements in a transaction that reads", call: func(g, i int) error { return bare.details("acme", number(g, i)) }},
		},
		{
			"List", 0.5, func(int, int) error { return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})) },
			&side{name: "bare SELECT of 26 rows", call: func(int, int) error { return bare.list("acme") }},
		},
	} {
		for _, goroutines := range []int{1, 16} {
			ours := &side{name: c.name + ", in SQLite", call: c.call}
			all = append(all, comparison{ours: ours, theirs: c.theirs, goroutines: goroutines, bar: c.bar})
		}
	}
	return all, nil
}

// sqlitePostgres compares the two stores that several processes can share.
func sqlitePostgres(ctx context.Context, f *files, s *server) ([]comparison, error) {
	file, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	served, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	org := func(g, n int) incident.OrganizationID { return incident.OrganizationID(orgOf(g*17 + n)) }
	var all []comparison
	for _, call := range []struct {
		name string
		on   func(m incident.Manager, g, n int) error
	}{
		{"Create", func(m incident.Manager, g, n int) error { return create(ctx, m, string(org(g, n))) }},
		{"Get", func(m incident.Manager, g, n int) error {
			return only(m.Get(ctx, incident.Key{OrganizationID: org(g, n), Identifier: 1}))
		}},
		{"List", func(m incident.Manager, g, n int) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: org(g, n)}))
		}},
	} {
		for _, goroutines := range []int{1, 16} {
			all = append(all, comparison{
				ours:       &side{name: call.name + ", in SQLite", call: func(g, n int) error { return call.on(file, g, n) }},
				theirs:     &side{name: call.name + ", in PostgreSQL", call: func(g, n int) error { return call.on(served, g, n) }},
				goroutines: goroutines,
			})
		}
	}
	for n := range organizations {
		if err := errors.Join(create(ctx, file, orgOf(n)), create(ctx, served, orgOf(n))); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// sqliteCached compares a read that the cache answers with the same read on PostgreSQL.
func sqliteCached(ctx context.Context, f *files, s *server) ([]comparison, error) {
	file, err := f.store(ctx, &sqlite.Options{SingleProcess: true})
	if err != nil {
		return nil, err
	}
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	opts, err := s.schema(ctx, db)
	if err != nil {
		return nil, err
	}
	opts.SingleProcess = true
	served, err := postgres.New(db, opts)
	if err != nil {
		return nil, err
	}
	reads := func(store incident.Store, name string) (*side, error) {
		m, err := incident.New(store, nil)
		if err == nil {
			err = create(ctx, m, "acme")
		}
		key := incident.Key{OrganizationID: "acme", Identifier: 1}
		return &side{name: name, call: func(int, int) error { return only(m.Get(ctx, key)) }}, err
	}
	ours, err := reads(file, "Get from the cache, in SQLite")
	if err != nil {
		return nil, err
	}
	theirs, err := reads(served, "Get from the cache, in PostgreSQL")
	return []comparison{{ours: ours, theirs: theirs, goroutines: 1, bar: 0.9}}, err
}
