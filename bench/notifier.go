package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

const (
	notifierName = "Create with a notifier"

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
// with creations in a process without a notifier.
func (b *bench) besideNotifier(ctx context.Context, s *server) error {
	with, err := newDelivery(ctx, s, incident.NotifyOptions{}, false)
	if err != nil {
		return err
	}
	defer with.close()
	without, db, _, err := s.manager(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	const goroutines = 16
	alone := &side{name: "without", call: func(g, n int) error { return create(ctx, without, orgOf(g*17+n)) }}
	during := result{comparison: comparison{
		ours:   &side{name: notifierName + ", while it delivers", call: func(g, n int) error { return create(ctx, with, orgOf(g*17+n)) }},
		theirs: alone, goroutines: goroutines,
	}}
	until := during
	until.ours = &side{name: notifierName + ", until all is delivered"}
	var turns []turn
	for i := range b.rounds + 1 {
		length := b.length
		if i == 0 {
			length /= 4
		}
		var t turn
		var bare float64
		sides := []func() error{
			func() (err error) { t, err = with.turn(ctx, during.ours, goroutines, length); return err },
			func() (err error) { bare, err = alone.rate(goroutines, length); return err },
		}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, measure := range sides {
			if err := measure(); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f/s and %.0f/s beside %.0f/s, the backlog grows by %.0f/s of %.0f/s\n",
			notifierName, t.rate, t.delivered, bare, t.growth, t.queued)
		if i == 0 {
			continue
		}
		during.count(t.rate, bare)
		until.count(t.delivered, bare)
		turns = append(turns, t)
	}
	b.add(during)
	b.add(until)
	b.noteBacklog(turns)
	return nil
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
	b.note("%s while 16 goroutines create, with the default Concurrency of %d (by %.0f of %.0f queued notifications per second).",
		verdict, incident.DefaultNotifyConcurrency, growth, of)
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
