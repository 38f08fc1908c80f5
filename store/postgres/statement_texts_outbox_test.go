package postgres_test

import (
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// remind sets, reads and cancels reminders.
func (c *caller) remind(ctx context.Context) error {
	key := c.key()
	r := incident.Reminder{
		Name: fmt.Sprint("name-", c.rng.IntN(3)), Unless: incident.Unless(c.rng.IntN(4)), At: time.Now().Add(time.Duration(c.rng.IntN(3)+1) * time.Hour),
	}
	err := c.Remind(ctx, key, r)
	if err == nil {
		_, err = c.Reminders(ctx, key)
	}
	if err == nil && c.oneIn(2) {
		err = c.CancelReminder(ctx, key, r.Name)
	}
	return err
}

// relay claims and settles, and handles parked notifications.
func (c *caller) relay(ctx context.Context) error {
	if c.store == nil {
		return nil // in a transaction
	}
	q := incident.ClaimQuery{Limit: []int{1, 10, 100}[c.rng.IntN(3)], PerOrganization: 3, Lease: time.Minute}
	q.Notifier = []string{"", "mail"}[c.rng.IntN(2)]
	if c.oneIn(2) {
		q.Types = []incident.ActivityType{typeComment}
	}
	claims, err := c.store.Claim(ctx, q)
	if err != nil {
		return err
	}
	var all []incident.Settlement
	for _, claim := range claims {
		all = append(all, incident.Settlement{Ticket: claim.Ticket, Outcome: incident.Outcome(c.rng.IntN(4) + 1)})
	}
	_, err = c.store.Settle(ctx, all)
	parked := incident.ParkedQuery{OrganizationID: c.org, Notifier: q.Notifier, Limit: []int{1, 2000}[c.rng.IntN(2)]}
	for _, call := range []func() error{
		func() error { return only(c.store.Parked(ctx, parked)) },
		func() error { return only(c.store.Replay(ctx, parked)) },
		func() error { return only(c.store.DiscardParked(ctx, parked)) },
		func() error { return only(c.store.Discard(ctx, q.Notifier, 1)) },
		func() error { return only(c.store.Backlog(ctx)) },
	} {
		if err == nil {
			err = call()
		}
	}
	return err
}
