package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

const (
	// queuedIncidents is the number of incidents whose creations are delivered in a round.
	queuedIncidents = 20_000

	// pendingReminders is the number of reminders that are not due, for each notifier.
	pendingReminders = 100_000

	// dueIncidents is the number of incidents with due notifications in the comparison of
	// claims. It is more than the claims of a chunk can take.
	dueIncidents, claimed = 2000, 16
)

// oneNotifier, oneNamed and threeNamed are the compared notifiers.
func oneNotifier(n incident.Notifier, tuned incident.NotifyOptions) *incident.Options {
	return &incident.Options{Notifier: n, Notify: tuned}
}

func oneNamed(n incident.Notifier, tuned incident.NotifyOptions) *incident.Options {
	return named(n, tuned, "pager")
}

func threeNamed(n incident.Notifier, tuned incident.NotifyOptions) *incident.Options {
	return named(n, tuned, "pager", "mail", "chat")
}

func named(n incident.Notifier, tuned incident.NotifyOptions, names ...string) *incident.Options {
	o := &incident.Options{Notifiers: map[string]incident.NamedNotifier{}}
	for _, name := range names {
		o.Notifiers[name] = incident.NamedNotifier{Notifier: n, Notify: tuned}
	}
	return o
}

// notifiers compares several notifiers, and a notifier with a name, with the notifier without
// a name, and claims beside pending reminders with claims beside none.
func (b *bench) notifiers(ctx context.Context) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.Stop()
	b.begin("Several notifiers, and reminders", "The writing process delivers nothing, and has a notification queued for each notifier. "+
		"In the rows of a delivery the notifiers do nothing; each creation has queued two notifications. "+
		"A claim takes 16 of 2,000 due notifications, or finds none.")
	all, err := besideOneNotifier(ctx, s)
	if err := b.measure(all, err); err != nil {
		return err
	}
	for _, d := range []delivered{
		{"Delivery of %d notifications by a notifier with a name", oneNamed, 1},
		{"Delivery of %d notifications by three notifiers", threeNamed, 3},
	} {
		if err := b.besideOneDelivery(ctx, s, d); err != nil {
			return err
		}
	}
	all, err = besideReminders(ctx, s)
	return b.measure(all, err)
}

// besideOneNotifier compares writes that queue for a notifier with a name, and for three, with
// writes that queue for the notifier without a name.
func besideOneNotifier(ctx context.Context, s *server) ([]comparison, error) {
	var all []comparison
	writer := func(options *incident.Options) (m incident.Manager, err error) {
		m, _, _, err = s.managerOf(ctx, options)
		for i := 0; err == nil && i < organizations; i++ {
			err = create(ctx, m, orgOf(i))
		}
		return m, err
	}
	one, err1 := writer(oneNotifier(incident.NotifyElsewhere, incident.NotifyOptions{}))
	alone, err2 := writer(oneNamed(incident.NotifyElsewhere, incident.NotifyOptions{}))
	three, err3 := writer(threeNamed(incident.NotifyElsewhere, incident.NotifyOptions{}))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	for _, op := range []struct {
		name string
		call func(m incident.Manager) func(g, n int) error
		bar  float64 // of three notifiers
	}{
		{"Create", func(m incident.Manager) func(g, n int) error {
			return func(g, n int) error { return create(ctx, m, orgOf(g*17+n)) }
		}, 0.85},
		{"Comment", func(m incident.Manager) func(g, n int) error { return comment(ctx, m) }, 0},
	} {
		for _, goroutines := range []int{1, 16} {
			beside := func() *side { return &side{name: "for the notifier without a name", call: op.call(one)} }
			all = append(all, comparison{
				ours:   &side{name: op.name + " for a notifier with a name", call: op.call(alone)},
				theirs: beside(), goroutines: goroutines,
			}, comparison{
				ours:   &side{name: op.name + " for three notifiers", call: op.call(three)},
				theirs: beside(), goroutines: goroutines, bar: op.bar,
			})
		}
	}
	return all, nil
}

// delivered is a side of a comparison of deliveries.
type delivered struct {
	name      string // with the number of notifications
	options   func(incident.Notifier, incident.NotifyOptions) *incident.Options
	notifiers int
}

// besideOneDelivery compares a delivery with the delivery by the notifier without a name.
func (b *bench) besideOneDelivery(ctx context.Context, s *server, d delivered) error {
	const queued = queuedIncidents * activitiesOfCreate
	name := fmt.Sprintf(d.name, queued*d.notifiers)
	if !strings.Contains(name, b.match) {
		return nil
	}
	ours, err := newDeliveryOf(ctx, s, d.options, deliveries, false)
	if err != nil {
		return err
	}
	defer ours.close()
	theirs, err := newDeliveryOf(ctx, s, oneNotifier, deliveries, false)
	if err != nil {
		return err
	}
	defer theirs.close()
	r := result{comparison: comparison{
		ours:       &side{name: name},
		theirs:     &side{name: fmt.Sprintf("of %d by the notifier without a name", queued)},
		goroutines: relayPermits,
	}}
	return b.alternate(&r,
		func() (float64, error) { return ours.refill(ctx, d.options, queued*d.notifiers) },
		func() (float64, error) { return theirs.refill(ctx, oneNotifier, queued) })
}

// refill queues n notifications by creations of a Manager that delivers nothing, and returns the
// rate of their delivery.
func (d *delivery) refill(
	ctx context.Context, options func(incident.Notifier, incident.NotifyOptions) *incident.Options, n int,
) (perSecond float64, err error) {
	m, err := incident.New(d.store, options(incident.NotifyElsewhere, incident.NotifyOptions{}))
	if err != nil {
		return 0, err
	}
	err = spread(queuedIncidents, func(i int) error { return create(ctx, m, orgOf(i)) })
	if err == nil {
		_, err = d.db.ExecContext(ctx, "ANALYZE")
	}
	if err != nil {
		return 0, err
	}
	return d.drain(ctx, n)
}

// spread makes n calls from as many goroutines as a pool has connections.
func spread(n int, call func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, conns)
	for g := range errs {
		all.Go(func() {
			for errs[g] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[g] = call(i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// besideReminders compares claims beside pending reminders of the same notifier with claims
// beside none.
func besideReminders(ctx context.Context, s *server) ([]comparison, error) {
	var all []comparison
	for _, n := range []struct{ title, name string }{{"the notifier without a name", ""}, {"a notifier with a name", "pager"}} {
		for _, due := range []int{dueIncidents, 0} {
			with, err := newClaims(ctx, s, n.name, due, pendingReminders)
			if err != nil {
				return nil, err
			}
			without, err := newClaims(ctx, s, n.name, due, 0)
			if err != nil {
				return nil, err
			}
			what := fmt.Sprintf("Claim of %d by %s", claimed, n.title)
			if due == 0 {
				what = fmt.Sprintf("Claim by %s that finds none", n.title)
			}
			all = append(all, comparison{
				ours:       with.side(ctx, fmt.Sprintf("%s, beside %d pending reminders", what, pendingReminders)),
				theirs:     without.side(ctx, "beside none"),
				goroutines: 1, bar: 1 / 1.1,
			})
		}
	}
	return all, nil
}

// claims makes claims of a notifier on a schema of its own, and releases them.
type claims struct {
	store    *postgres.Store
	notifier string
	due      int
	made     []incident.Settlement
	failed   error // of a release
}

func newClaims(ctx context.Context, s *server, notifier string, due, reminders int) (*claims, error) {
	m, db, opts, err := s.managerOf(ctx, oneNotifier(incident.NotifyElsewhere, incident.NotifyOptions{}))
	if err != nil {
		return nil, err
	}
	store, err := postgres.New(db, opts)
	if err != nil {
		return nil, err
	}
	queues := m
	if due == 0 {
		queues, err = incident.New(store, nil)
	} else if notifier != "" {
		queues, err = incident.New(store, named(incident.NotifyElsewhere, incident.NotifyOptions{}, notifier))
	}
	if err != nil {
		return nil, err
	}
	if err := spread(dueIncidents, func(i int) error { return create(ctx, queues, orgOf(i)) }); err != nil {
		return nil, err
	}
	at := time.Now().Add(24 * time.Hour).Truncate(time.Microsecond).UTC()
	err = spread(reminders, func(i int) error {
		of := i % dueIncidents
		_, err := store.SetReminder(ctx, incident.ReminderWrite{
			Key:           incident.Key{OrganizationID: incident.OrganizationID(orgOf(of)), Identifier: int64(of/organizations) + 1},
			ExpectVersion: 1, Most: incident.MaxReminders,
			Reminder: incident.Reminder{
				Name: fmt.Sprint("reminder-", i/dueIncidents), Notifier: notifier, At: at.Add(time.Duration(i) * time.Millisecond),
				Status: incident.StatusOpen, NotificationUUID: uuid.New(),
			},
		})
		return err
	})
	if err == nil {
		_, err = db.ExecContext(ctx, "VACUUM ANALYZE")
	}
	return &claims{store: store, notifier: notifier, due: due}, err
}

// side returns the side of the claims. Before each chunk it releases the claims of the last.
func (c *claims) side(ctx context.Context, name string) *side {
	return &side{
		name: name,
		call: func(int, int) error {
			got, err := c.store.Claim(ctx, incident.ClaimQuery{
				NotifyTarget: incident.NotifyTarget{Notifier: c.notifier}, Limit: claimed, PerOrganization: claimed, Lease: time.Hour,
			})
			if want := min(claimed, c.due); err == nil && c.failed == nil && len(got) != want {
				err = fmt.Errorf("%d were claimed, want %d", len(got), want)
			}
			for i := range got {
				c.made = append(c.made, incident.Settlement{Ticket: got[i].Ticket, Outcome: incident.OutcomeRelease})
			}
			return errors.Join(err, c.failed)
		},
		prepare: func(int, int) {
			_, c.failed = c.store.Settle(ctx, c.made)
			c.made = c.made[:0]
		},
	}
}
