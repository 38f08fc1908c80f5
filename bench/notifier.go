package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

const (
	notifierName = "Create with a notifier"

	// creators is the number of goroutines that create.
	creators = 16

	// lookEvery is the interval between two readings of the backlog.
	lookEvery = 100 * time.Millisecond

	// growing is the fraction of the queued notifications that may be left over each
	// second. Above it the relay does not keep up.
	growing = 0.05
)

// turn is the result of a turn with a notifier.
type turn struct {
	rate      float64 // calls per second, until the last call
	delivered float64 // calls per second, until the last delivery
	queued    float64 // notifications per second
	growth    float64 // of the backlog, notifications per second
}

// besideNotifier compares creations in a process that also delivers their notifications
// with creations in a process without a notifier, and with the floor.
func (b *bench) besideNotifier(ctx context.Context, s *server) error {
	with, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return err
	}
	defer with.close()
	without, db, opts, err := s.manager(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	insert, err := floorCreate(ctx, db, opts.Schema)
	if err != nil {
		return err
	}
	return b.compareNotifier(ctx, &notifierSides{
		with: with, db: db,
		ours:  &side{name: notifierName + ", while it delivers", call: func(g, n int) error { return create(ctx, with, orgOf(g*17+n)) }},
		alone: &side{name: "without", call: func(g, n int) error { return create(ctx, without, orgOf(g*17+n)) }},
		bare:  &side{name: "one bare prepared statement, without", call: func(g, n int) error { return insert(orgOf(g*17 + n)) }},
	})
}

// notifierSides are a delivery and what it is compared with.
type notifierSides struct {
	with              *delivery
	db                *sqlx.DB // of the server
	ours, alone, bare *side
	costs             [3]costOfCalls
}

// compareNotifier measures the sides in turns, after a round that does not count.
func (b *bench) compareNotifier(ctx context.Context, s *notifierSides) error {
	until := &side{name: notifierName + ", until all is delivered"}
	rows := []result{
		{comparison: comparison{ours: s.ours, theirs: s.alone, goroutines: creators}},
		{comparison: comparison{ours: until, theirs: s.alone, goroutines: creators}},
		{comparison: comparison{ours: until, theirs: s.bare, goroutines: creators, bar: 1}},
	}
	if _, _, _, err := s.round(ctx, 0, b.length/4); err != nil {
		return err
	}
	s.costs = [3]costOfCalls{}
	var turns []turn
	for i := range b.rounds {
		t, alone, bare, err := s.round(ctx, i+1, b.length)
		if err != nil {
			return err
		}
		rows[0].count(t.rate, alone)
		rows[1].count(t.delivered, alone)
		rows[2].count(t.delivered, bare)
		turns = append(turns, t)
	}
	for _, row := range rows {
		b.add(row)
	}
	b.note("Processor time of a creation with its deliveries: %v. Without a notifier: %v. The bare statement: %v.", &s.costs[0], &s.costs[1], &s.costs[2])
	b.noteBacklog(turns)
	return nil
}

// round gives each side a turn, and returns the rates of those without a notifier.
func (s *notifierSides) round(ctx context.Context, number int, length time.Duration) (t turn, alone, bare float64, err error) {
	err = inTurns(number,
		func() error {
			return s.costs[0].add(ctx, s.db, s.ours, func() (err error) { t, err = s.with.turn(ctx, s.ours, creators, length); return err })
		},
		func() error {
			return s.costs[1].add(ctx, s.db, s.alone, func() (err error) { alone, err = s.alone.rate(creators, length); return err })
		},
		func() error {
			return s.costs[2].add(ctx, s.db, s.bare, func() (err error) { bare, err = s.bare.rate(creators, length); return err })
		})
	if err == nil {
		fmt.Fprintf(os.Stderr, "%s: %.0f/s and %.0f/s beside %.0f/s and %.0f/s, the backlog grows by %.0f/s of %.0f/s\n",
			notifierName, t.rate, t.delivered, alone, bare, t.growth, t.queued)
	}
	return t, alone, bare, err
}

// inTurns calls the functions, beginning with another in each round.
func inTurns(round int, all ...func() error) error {
	for i := range all {
		if err := all[(i+round)%len(all)](); err != nil {
			return err
		}
	}
	return nil
}

// costOfCalls is the processor time of calls.
type costOfCalls struct {
	calls          int64
	client, server time.Duration
}

func (c *costOfCalls) String() string {
	n := time.Duration(max(1, c.calls))
	return fmt.Sprintf("%v in the client and %v in the server", (c.client / n).Round(100*time.Nanosecond), (c.server / n).Round(100*time.Nanosecond))
}

// add adds what the calls of a side cost that do makes.
func (c *costOfCalls) add(ctx context.Context, admin *sqlx.DB, s *side, do func() error) error {
	backends, err := backendsOf(ctx, admin)
	if err != nil {
		return err
	}
	before, client, server := calls(s), clientTime(), serverTime(backends)
	err = do()
	c.calls += calls(s) - before
	c.client += clientTime() - client
	c.server += serverTime(backends) - server
	return err
}

// noteBacklog reports whether the backlog grew.
func (b *bench) noteBacklog(turns []turn) {
	var growths, queued []float64
	for _, t := range turns {
		growths, queued = append(growths, t.growth), append(queued, t.queued)
	}
	growth, of := median(growths), median(queued)
	verdict := "The relay keeps up: the backlog does not grow"
	if growth > growing*of {
		verdict = "**The relay does not keep up: the backlog grows**"
	}
	b.note("%s while %d goroutines create, with the default Concurrency of %d (by %.0f of %.0f queued notifications per second).",
		verdict, creators, incident.DefaultNotifyConcurrency, growth, of)
}

// turn makes calls for a time while their notifications are delivered, and waits until
// all are.
func (d *delivery) turn(ctx context.Context, s *side, goroutines int, length time.Duration) (t turn, err error) {
	err = d.run(ctx, func() {}, func() error {
		before := calls(s)
		start := time.Now()
		looking, stop := context.WithCancel(ctx)
		var pending []float64
		var failed error
		var looks sync.WaitGroup
		looks.Go(func() { pending, failed = d.look(looking) })
		t.rate, err = s.rate(goroutines, length)
		wrote := time.Since(start)
		stop()
		looks.Wait()
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		made := float64(calls(s) - before)
		t.queued = made * activitiesOfCreate / wrote.Seconds()
		t.growth = growth(pending, wrote)
		if err := d.drained(ctx); err != nil {
			return err
		}
		t.delivered = made / time.Since(start).Seconds()
		return nil
	})
	return t, err
}

// activitiesOfCreate is the number of notifications that a creation queues.
const activitiesOfCreate = 2

// look reads the backlog repeatedly until ctx ends.
func (d *delivery) look(ctx context.Context) (pending []float64, err error) {
	for {
		select {
		case <-ctx.Done():
			return pending, nil
		case <-time.After(lookEvery):
		}
		n, err := d.pending(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		pending = append(pending, float64(n))
	}
}

// growth returns the growth of the backlog per second, from the second quarter of the
// readings to the last: deliveries in progress are a constant part of the backlog.
func growth(pending []float64, over time.Duration) float64 {
	quarter := len(pending) / 4
	if quarter == 0 {
		return 0
	}
	second, last := pending[quarter:2*quarter], pending[len(pending)-quarter:]
	between := over.Seconds() * float64(len(pending)-2*quarter) / float64(len(pending))
	return (median(last) - median(second)) / between
}

// drained waits until the outbox is empty.
func (d *delivery) drained(ctx context.Context) error {
	for {
		pending, err := d.pending(ctx)
		if err != nil || pending == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
