package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// delivery is a Manager with its own schema, whose notifier does nothing.
type delivery struct {
	incident.Manager
	store *postgres.Store
	db    *sqlx.DB
	begun atomic.Pointer[func()] // called at the start of each delivery
}

// relayPermits is the Concurrency of the fast settings. Both sides have the settings that were
// the fastest in trials: River is slower with 1,000 and 4,000 workers than with 2,000, and the
// relay with 1,000 and 2,000 permits than with 3,000.
const relayPermits = 3000

// deliveries are the fast settings.
var deliveries = incident.NotifyOptions{Concurrency: relayPermits}

func newDelivery(ctx context.Context, s *server, tuned incident.NotifyOptions, alone bool) (*delivery, error) {
	return newDeliveryOf(ctx, s, oneNotifier, tuned, alone)
}

// newDeliveryOf returns a delivery with the notifiers of options.
func newDeliveryOf(
	ctx context.Context, s *server, options func(incident.Notifier, incident.NotifyOptions) *incident.Options,
	tuned incident.NotifyOptions, alone bool,
) (*delivery, error) {
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
	d.Manager, err = incident.New(store, options(incident.NotifierFunc(func(context.Context, incident.Notification) error {
		if begun := d.begun.Load(); begun != nil {
			(*begun)()
		}
		return nil
	}), tuned))
	return d, err
}

func (d *delivery) close() { d.db.Close() }

// run delivers while do runs, and calls begun at the start of each delivery.
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

// queueSQL creates incidents in 200 organizations, each with an undelivered comment, as
// the library writes them.
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
	`INSERT INTO @.incident_outbox (organization_id, identifier, replayed, next, last, due, ready, since)
	SELECT 'org-' || g % 200, g / 200 + 1, 0, 1, 1, now(), true, now()
	FROM generate_series(0, $1::bigint - 1) g`,
}

// insert queues n notifications, and then does the work of autovacuum.
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

// drain delivers the n queued notifications, and returns the rate per second from the
// start until the last is marked in the database.
func (d *delivery) drain(ctx context.Context, n int) (perSecond float64, err error) {
	var begun atomic.Int64
	var took time.Duration
	start := time.Now()
	err = d.run(ctx, func() { begun.Add(1) }, func() error {
		for {
			if begun.Load() >= int64(n) {
				pending, err := d.pending(ctx)
				if err != nil || pending == 0 {
					took = time.Since(start)
					return err
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	if err == nil && begun.Load() != int64(n) {
		err = fmt.Errorf("%d of %d notifications were delivered", begun.Load(), n)
	}
	return float64(n) / took.Seconds(), err
}

// pending returns the number of notifications of all notifiers that are to be delivered.
func (d *delivery) pending(ctx context.Context) (n int64, err error) {
	backlogs, err := d.store.Backlog(ctx)
	for _, backlog := range backlogs {
		n += backlog.Pending
	}
	return n, err
}

// queueLength is the number of notifications that drains delivers in a round.
const queueLength = 100_000

// notifications compares the delivery of notifications with River's jobs, and writing
// during delivery with writing alone.
func (b *bench) notifications(ctx context.Context) error {
	s, err := startServer(countStatements)
	if err != nil {
		return err
	}
	defer s.Stop()
	b.begin("Notifications", "The notifier does nothing, and neither do River's workers. A notification is read with its incident and its subscribers; "+
		"a job carries a number. The fastest settings, by trial, are a Concurrency of 3,000 here and 2,000 workers there, on 16 connections each.")
	for _, part := range []struct {
		name    string
		measure func(context.Context, *server) error
	}{{notifierName, b.besideNotifier}, {drainName, b.drains}, {singleName, b.singles}, {idleName, b.idleFeed}, {watchName, b.watching}} {
		if !strings.Contains(part.name, b.match) {
			continue
		}
		if err := part.measure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

const drainName = "Delivery of 100,000 notifications"

// drains compares the rates of delivering queued work, in turn, after a warm-up round: in
// it, the connections of both sides have no prepared statements.
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
		goroutines: relayPermits, bar: 1,
	}}
	return b.alternate(&r, func() (float64, error) {
		if err := ours.insert(ctx, queueLength); err != nil {
			return 0, err
		}
		return ours.drain(ctx, queueLength)
	}, func() (float64, error) {
		if err := errors.Join(theirs.empty(ctx), theirs.insert(ctx, queueLength)); err != nil {
			return 0, err
		}
		return theirs.drain(ctx, queueLength)
	})
}

// alternate measures the rates of two sides in turns, after a round that does not count, and adds
// the result.
func (b *bench) alternate(r *result, ours, theirs func() (float64, error)) error {
	for i := range b.rounds + 1 {
		var rates [2]float64
		sides := []func() error{
			func() (err error) { rates[0], err = ours(); return err },
			func() (err error) { rates[1], err = theirs(); return err },
		}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, measure := range sides {
			if err := measure(); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f/s beside %.0f/s\n", r.ours.name, rates[0], rates[1])
		if i > 0 {
			r.count(rates[0], rates[1])
		}
	}
	b.add(*r)
	return nil
}
