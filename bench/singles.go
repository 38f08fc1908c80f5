package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

const (
	singleName = "One notification at a time"

	singles   = 20 // measured per round
	warmUp    = 5  // before those
	singleGap = 250 * time.Millisecond
	idleTime  = 15 * time.Second
)

// write writes a notification or a job, and returns the time of the commit.
type write func(context.Context) (committed time.Time, err error)

// deliverer delivers while do runs, and calls begun at the start of each delivery.
type deliverer func(ctx context.Context, begun func(), do func() error) error

// latencies returns the time from each commit to the start of its delivery, 0 if the
// delivery started before the writer had the reply to its commit. It writes with a gap
// between the start of a delivery and the next write.
func latencies(ctx context.Context, run deliverer, w write) (all []time.Duration, err error) {
	begun := make(chan time.Time, 10)
	err = run(ctx, func() { begun <- time.Now() }, func() error {
		for range warmUp + singles {
			time.Sleep(jittered(singleGap))
			committed, err := w(ctx)
			if err != nil {
				return err
			}
			select {
			case at := <-begun:
				all = append(all, max(0, at.Sub(committed)))
			case <-time.After(time.Minute):
				return fmt.Errorf("the notification was not delivered within a minute")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		all = all[warmUp:]
		return nil
	})
	return all, err
}

// jittered returns a random duration with the mean d.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// commenter returns a write that comments on an incident.
func commenter(m incident.Manager, key incident.Key) write {
	return func(ctx context.Context) (time.Time, error) {
		_, err := m.Comment(ctx, key, incident.NewComment{UserID: user, Comment: "It is the cache"})
		return time.Now(), err
	}
}

// prepare creates an incident and waits for the delivery of its activities.
func (d *delivery) prepare(ctx context.Context) (key incident.Key, err error) {
	begun := make(chan struct{}, 10)
	err = d.run(ctx, func() { begun <- struct{}{} }, func() error {
		inc, err := d.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title})
		if err != nil {
			return err
		}
		key = inc.Key()
		<-begun
		<-begun
		return nil
	})
	return key, err
}

// singles compares the latency of a single notification with that of a River job, written
// by the delivering process and by another. It also compares the statements while idle.
// Both sides have their defaults.
func (b *bench) singles(ctx context.Context, s *server) error {
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
	key, err := ours.prepare(ctx)
	if err != nil {
		return err
	}
	if err := b.latency(ctx, "from the process that delivers it", 1, ours.run, theirs.run, commenter(ours, key), theirs.insertOne); err != nil {
		return err
	}
	ourWriter, err := startWriter(writerTask{URL: s.URL(), Schema: ours.store.Schema(), Identifier: key.Identifier})
	if err != nil {
		return err
	}
	defer ourWriter.stop()
	theirWriter, err := startWriter(writerTask{URL: s.URL(), Schema: theirs.schema, River: true})
	if err != nil {
		return err
	}
	defer theirWriter.stop()
	if err := b.latency(ctx, "from another process", 0, ours.run, theirs.run, ourWriter.write, theirWriter.write); err != nil {
		return err
	}
	return b.idle(ctx, s, ours, theirs)
}

// latency compares both sides in turn, and adds the result.
func (b *bench) latency(ctx context.Context, from string, bar float64, ours, theirs deliverer, ourWrite, theirWrite write) error {
	r := result{comparison: comparison{
		ours:       &side{name: singleName + ", " + from + ": 1/median"},
		theirs:     &side{name: "River's defaults"},
		goroutines: 1, bar: bar,
	}}
	var took [2][]time.Duration
	for i := range b.rounds {
		var medians [2]float64
		order := []int{0, 1}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, n := range order {
			all, err := latencies(ctx, []deliverer{ours, theirs}[n], []write{ourWrite, theirWrite}[n])
			if err != nil {
				return err
			}
			took[n] = append(took[n], all...)
			medians[n] = 1 / quantile(all, 0.5).Seconds()
		}
		r.count(medians[0], medians[1])
	}
	b.add(r)
	for n, what := range []string{"a notification", "River's job"} {
		b.note("From the commit of %s to the beginning of its delivery, %s: median %v, 99th percentile %v.", what, from,
			quantile(took[n], 0.5).Round(10*time.Microsecond), quantile(took[n], 0.99).Round(10*time.Microsecond))
	}
	return nil
}

// idle counts the statements of each side while nothing is queued.
func (b *bench) idle(ctx context.Context, s *server, ours *delivery, theirs *riverQueue) error {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	alone, err := newDelivery(ctx, s, incident.NotifyOptions{}, true)
	if err != nil {
		return err
	}
	defer alone.close()
	var perSecond [3]float64
	for i, run := range []deliverer{ours.run, alone.run, theirs.run} {
		err := run(ctx, func() {}, func() (err error) {
			time.Sleep(3 * time.Second) // until start-up work has ended
			perSecond[i], err = idleStatements(ctx, db, idleTime)
			return err
		})
		if err != nil {
			return err
		}
	}
	b.note("While nothing is queued and nobody reads: %.1f statements per second, %.1f with SingleProcess, and %.1f of River.",
		perSecond[0], perSecond[1], perSecond[2])
	return nil
}
