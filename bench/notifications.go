package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// delivery is the library with a schema of its own, whose notifier does nothing.
type delivery struct {
	incident.Manager
	store *postgres.Store
	db    *sqlx.DB
	begun atomic.Pointer[func()] // is called at the beginning of each notification
}

// deliveries are the options of the fast settings: as many at a time as River has workers.
var deliveries = incident.NotifyOptions{Concurrency: riverWorkers}

func newDelivery(ctx context.Context, s *server, opts incident.NotifyOptions, alone bool) (*delivery, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := s.schema(ctx, db)
	if err != nil {
		return nil, err
	}
	schema.SingleProcess = alone
	store, err := postgres.New(db, schema)
	if err != nil {
		return nil, err
	}
	d := &delivery{store: store, db: db}
	d.Manager, err = incident.New(store, &incident.Options{
		Notifier: incident.NotifierFunc(func(context.Context, incident.Notification) error {
			if begun := d.begun.Load(); begun != nil {
				(*begun)()
			}
			return nil
		}),
		Notify: opts,
	})
	return d, err
}

func (d *delivery) close() { d.db.Close() }

// run delivers while do goes on, and calls begun at the beginning of each notification.
func (d *delivery) run(ctx context.Context, begun func(), do func() error) error {
	d.begun.Store(&begun)
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	var failed error
	all.Go(func() { failed = d.Run(running) })
	err := do()
	stop()
	all.Wait()
	return errors.Join(err, failed)
}

// queueSQL makes incidents of 200 organizations, each with a comment that is to be
// delivered, as the library writes them.
var queueSQL = []string{
	`TRUNCATE @.incident_organization, @.incident, @.incident_activity, @.incident_outbox`,
	`INSERT INTO @.incident_organization SELECT 'org-' || g, $1::bigint FROM generate_series(0, 199) g`,
	`INSERT INTO @.incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
		date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
	SELECT 'org-' || g % 200, g / 200 + 1, 1, 1, 0, 0, 1, 1, now(), now(), now(), $$` + title + `$$, $$` + title + `$$, '', '', ARRAY['checkout']
	FROM generate_series(0, $1::bigint - 1) g`,
	`INSERT INTO @.incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
		date_added, notification_uuid, user_id, comment)
	SELECT 'org-' || g % 200, g / 200 + 1, 1, 0, 0, 3, 0, 0, now(), gen_random_uuid(), 'ada', 'It is the cache'
	FROM generate_series(0, $1::bigint - 1) g`,
	`INSERT INTO @.incident_outbox (organization_id, identifier, replayed, next, last, due, since)
	SELECT 'org-' || g % 200, g / 200 + 1, 0, 1, 1, now(), now()
	FROM generate_series(0, $1::bigint - 1) g`,
}

// insert queues n notifications, and does what autovacuum would do in time.
func (d *delivery) insert(ctx context.Context, n int) error {
	for i, text := range queueSQL {
		args := []any{n}
		if i == 0 {
			args = nil
		}
		if _, err := d.db.ExecContext(ctx, inSchema(text, d.store.Schema()), args...); err != nil {
			return err
		}
	}
	_, err := d.db.ExecContext(ctx, "ANALYZE")
	return err
}

// drain delivers the n notifications that are queued, and returns how many a second: from
// the start until the last one is marked in the database.
func (d *delivery) drain(ctx context.Context, n int) (perSecond float64, err error) {
	var begun atomic.Int64
	var took time.Duration
	start := time.Now()
	err = d.run(ctx, func() { begun.Add(1) }, func() error {
		for {
			if begun.Load() >= int64(n) {
				b, err := d.store.Backlog(ctx)
				if err != nil || b.Pending == 0 {
					took = time.Since(start)
					return err
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	if err == nil && begun.Load() != int64(n) {
		err = fmt.Errorf("of %d notifications %d came", n, begun.Load())
	}
	return float64(n) / took.Seconds(), err
}

// latencies comments n times, with a gap of about this length, and returns how long after
// each commit its delivery began.
func (d *delivery) latencies(ctx context.Context, n int, gap time.Duration) ([]time.Duration, error) {
	var all []time.Duration
	inc, err := d.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title})
	if err != nil {
		return nil, err
	}
	begun := make(chan time.Time, 10)
	err = d.run(ctx, func() { begun <- time.Now() }, func() error {
		<-begun
		<-begun // what it was created with
		for range n + 1 {
			if _, err := d.Comment(ctx, inc.Key(), incident.NewComment{UserID: user, Comment: "It is the cache"}); err != nil {
				return err
			}
			committed := time.Now()
			all = append(all, max(0, (<-begun).Sub(committed)))
			time.Sleep(jittered(gap))
		}
		all = all[1:]
		return nil
	})
	return all, err
}

const (
	queueLength = 100_000
	singles     = 100 // of which the latency is measured
	singleGap   = 250 * time.Millisecond
	idleTime    = 15 * time.Second
)

// notifications compares the delivery of notifications with River's jobs.
func (b *bench) notifications(ctx context.Context) error {
	s, err := startServer(countStatements)
	if err != nil {
		return err
	}
	defer s.Stop()
	for name, measure := range map[string]func(context.Context, *server) error{drainName: b.drains, singleName: b.singles} {
		if strings.Contains(name, b.match) {
			if err := measure(ctx, s); err != nil {
				return err
			}
		}
	}
	all, err := besideNotifier(ctx, s)
	return b.measure(all, err)
}

const (
	drainName  = "Delivery of 100,000 notifications"
	singleName = "One notification at a time, 1/median"
)

// drains compares how fast what is queued is delivered, in turn.
func (b *bench) drains(ctx context.Context, s *server) error {
	theirs, err := newRiver(ctx, s, true)
	if err != nil {
		return err
	}
	defer theirs.close()
	ours, err := newDelivery(ctx, s, deliveries, false)
	if err != nil {
		return err
	}
	defer ours.close()
	r := result{comparison: comparison{
		ours:       &side{name: drainName},
		theirs:     &side{name: "River's fastest settings"},
		goroutines: riverWorkers, bar: 1,
	}}
	var oursRates, theirsRates []float64
	for range b.rounds {
		if err := errors.Join(theirs.empty(ctx), theirs.insert(ctx, queueLength)); err != nil {
			return err
		}
		t, err := theirs.drain(ctx, queueLength)
		if err != nil {
			return err
		}
		if err := ours.insert(ctx, queueLength); err != nil {
			return err
		}
		o, err := ours.drain(ctx, queueLength)
		if err != nil {
			return err
		}
		oursRates, theirsRates, r.ratios = append(oursRates, o), append(theirsRates, t), append(r.ratios, o/t)
		fmt.Fprintf(os.Stderr, "%s: %.0f/s beside %.0f/s\n", r.ours.name, o, t)
	}
	r.oursRate, r.theirsRate = median(oursRates), median(theirsRates)
	b.results = append(b.results, r)
	return nil
}

// singles compares how long a single one takes, and what it costs to wait for it, with the
// defaults of both.
func (b *bench) singles(ctx context.Context, s *server) error {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	theirs, err := newRiver(ctx, s, false)
	if err != nil {
		return err
	}
	defer theirs.close()
	ours, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return err
	}
	defer ours.close()
	oursTook, err := ours.latencies(ctx, singles, singleGap)
	if err != nil {
		return err
	}
	theirsTook, err := theirs.latencies(ctx, singles, singleGap)
	if err != nil {
		return err
	}
	for name, took := range map[string][]time.Duration{"a notification": oursTook, "River's job": theirsTook} {
		fmt.Printf("From the commit of %s to its delivery: median %v, 99th percentile %v.\n", name,
			quantile(took, 0.5).Round(10*time.Microsecond), quantile(took, 0.99).Round(10*time.Microsecond))
	}
	o, t := 1/quantile(oursTook, 0.5).Seconds(), 1/quantile(theirsTook, 0.5).Seconds()
	b.results = append(b.results, result{
		comparison: comparison{
			ours:       &side{name: singleName},
			theirs:     &side{name: "River's defaults"},
			goroutines: 1, bar: 1,
		},
		oursRate: o, theirsRate: t, ratios: []float64{o / t},
	})
	alone, err := newDelivery(ctx, s, incident.NotifyOptions{}, true)
	if err != nil {
		return err
	}
	defer alone.close()
	var idle [3]float64
	for i, run := range []func(context.Context, func(), func() error) error{ours.run, alone.run, theirs.run} {
		err := run(ctx, func() {}, func() (err error) {
			time.Sleep(3 * time.Second) // until what happens once has happened
			idle[i], err = idleStatements(ctx, db, idleTime)
			return err
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("While nothing is queued: %.1f statements a second, %.1f without the feed of changes, and %.1f of River.\n",
		idle[0], idle[1], idle[2])
	return nil
}

// besideNotifier compares creations by a Manager with a notifier with those by one without.
func besideNotifier(ctx context.Context, s *server) (all []comparison, err error) {
	with, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return nil, err
	}
	without, _, _, err := s.manager(ctx)
	return []comparison{{
		ours:       &side{name: "Create with a notifier", call: func(g, n int) error { return create(ctx, with, orgOf(g*17+n)) }},
		theirs:     &side{name: "without", call: func(g, n int) error { return create(ctx, without, orgOf(g*17+n)) }},
		goroutines: 16, bar: 0.9,
	}}, err
}
