package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

const (
	title   = "Checkout error rate is above 5 %"
	project = "checkout"
	user    = "ada"

	organizations = 200
)

func inSchema(text, schema string) string { return strings.ReplaceAll(text, "@", schema) }

func orgOf(n int) string { return fmt.Sprintf("org-%03d", n%organizations) }

func create(ctx context.Context, m incident.Manager, org string) error {
	_, err := m.Create(ctx, incident.NewIncident{
		OrganizationID: incident.OrganizationID(org), Title: title,
		Projects: []incident.ProjectID{project}, UserID: user,
	})
	return err
}

// besideFloor compares creations in many organizations with the floor.
func besideFloor(ctx context.Context, s *server) ([]comparison, error) {
	m, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	_, db, opts, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := floorCreate(ctx, db, opts.Schema)
	if err != nil {
		return nil, err
	}
	var all []comparison
	for _, at := range []struct {
		goroutines int
		bar        float64
	}{{1, 0}, {4, 0}, {16, 1}, {64, 2}} {
		all = append(all, comparison{
			ours:       &side{name: "Create", call: func(g, n int) error { return create(ctx, m, orgOf(g*17+n)) }},
			theirs:     &side{name: "one bare prepared statement", call: func(g, n int) error { return bare(orgOf(g*17 + n)) }},
			goroutines: at.goroutines, bar: at.bar,
		})
	}
	return all, nil
}

// besideReference compares creations in a single organization with Sentry's statements.
func besideReference(ctx context.Context, s *server) ([]comparison, func() (string, error), error) {
	m, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := newReference(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	var all []comparison
	for _, at := range []struct {
		goroutines int
		bar        float64
	}{{1, 3}, {16, 15}} {
		all = append(all, comparison{
			ours:       &side{name: "Create in one organization", call: func(int, int) error { return create(ctx, m, "acme") }},
			theirs:     &side{name: "Sentry's statements", call: func(int, int) error { return r.create(ctx, "acme") }},
			goroutines: at.goroutines, bar: at.bar,
		})
	}
	check := func() (string, error) {
		return fmt.Sprintf("Sentry's statements were repeated %d times in the %d creations of the rows above, "+
				"because concurrent creations in an organization take the same number.", r.retries.Load(), calls(theirSides(all)...)),
			checkGapless(ctx, m, calls(ourSides(all)...))
	}
	return all, check, nil
}

// checkGapless checks that there are exactly as many identifiers as calls.
func checkGapless(ctx context.Context, m incident.Manager, calls int64) error {
	if calls == 0 {
		return nil
	}
	key := incident.Key{OrganizationID: "acme", Identifier: calls}
	if _, err := m.Get(ctx, key); err != nil {
		return fmt.Errorf("after %d creations: %w", calls, err)
	}
	key.Identifier++
	if _, err := m.Get(ctx, key); err == nil {
		return fmt.Errorf("after %d creations there is %s", calls, key)
	}
	return nil
}

// besideFeed compares creations by a Manager that runs, and so follows other processes,
// with creations by a Manager that does not.
func besideFeed(ctx context.Context, s *server) ([]comparison, func(), error) {
	running, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, nil, err
	}
	idle, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { _ = running.Run(ctx) }) // ends with its context
	stop := func() {
		cancel()
		run.Wait()
	}
	return []comparison{{
		ours:       &side{name: "Create, while it runs", call: func(g, n int) error { return create(ctx, running, orgOf(g*17+n)) }},
		theirs:     &side{name: "Create, without Run", call: func(g, n int) error { return create(ctx, idle, orgOf(g*17+n)) }},
		goroutines: 16, bar: 0.95,
	}}, stop, nil
}

// reads compares reads with selecting a row by its primary key.
func reads(ctx context.Context, s *server) ([]comparison, error) {
	const n = 1000
	m, db, opts, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := floorSelect(ctx, db, opts.Schema)
	if err != nil {
		return nil, err
	}
	firings := make([]incident.Firing, n)
	for i := range firings {
		firings[i] = incident.Firing{
			Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: incident.AlertRuleID(fmt.Sprint("rule-", i)), ProjectID: project},
			TriggerID: "critical", Severity: incident.StatusCritical, Title: title, Date: time.Now(),
		}
		if _, err := m.Fire(ctx, firings[i]); err != nil {
			return nil, err
		}
	}
	if _, err := db.ExecContext(ctx, "ANALYZE"); err != nil {
		return nil, err
	}
	floor := func() *side {
		return &side{name: "SELECT by primary key", call: func(g, i int) error { return bare("acme", int64((g*61+i)%n)+1) }}
	}
	var all []comparison
	for _, at := range []struct {
		goroutines     int
		get, unchanged float64 // the bars
	}{{1, 0, 0}, {4, 0.9, 0}, {16, 1, 0.7}} {
		all = append(all, comparison{
			ours: &side{name: "Get", call: func(g, i int) error {
				_, err := m.Get(ctx, incident.Key{OrganizationID: "acme", Identifier: int64((g*61+i)%n) + 1})
				return err
			}},
			theirs: floor(), goroutines: at.goroutines, bar: at.get,
		}, comparison{
			ours: &side{name: "Fire that changes nothing", call: func(g, i int) error {
				_, err := m.Fire(ctx, firings[(g*61+i)%n])
				return err
			}},
			theirs: floor(), goroutines: at.goroutines, bar: at.unchanged,
		})
	}
	return all, nil
}
