package storetest

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// brokenOutbox is an outbox with some methods replaced. Its transactions are those of
// the store underneath unless inTx is set.
type brokenOutbox struct {
	incident.OutboxStore

	apply          func(ctx context.Context, c incident.Change) (incident.Applied, error)
	inTx           func(ctx context.Context, fn func(tx incident.Store) error) error
	claim          func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error)
	settle         func(ctx context.Context, all []incident.Settlement) ([]int, error)
	backlog        func(ctx context.Context) (map[string]incident.Backlog, error)
	parked         func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error)
	replay         func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error)
	discardParked  func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error)
	discard        func(ctx context.Context, notifier string, limit int) (int, error)
	setReminder    func(ctx context.Context, w incident.ReminderWrite) (bool, error)
	cancelReminder func(ctx context.Context, key incident.Key, name string) error
	reminders      func(ctx context.Context, key incident.Key) ([]incident.Reminder, error)
}

func (b *brokenOutbox) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if b.apply != nil {
		return b.apply(ctx, c)
	}
	return b.OutboxStore.Apply(ctx, c)
}

func (b *brokenOutbox) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if b.inTx != nil {
		return b.inTx(ctx, fn)
	}
	return b.OutboxStore.InTx(ctx, fn)
}

func (b *brokenOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	if b.claim != nil {
		return b.claim(ctx, q)
	}
	return b.OutboxStore.Claim(ctx, q)
}

func (b *brokenOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	if b.settle != nil {
		return b.settle(ctx, all)
	}
	return b.OutboxStore.Settle(ctx, all)
}

func (b *brokenOutbox) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	if b.backlog != nil {
		return b.backlog(ctx)
	}
	return b.OutboxStore.Backlog(ctx)
}

func (b *brokenOutbox) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	if b.parked != nil {
		return b.parked(ctx, q)
	}
	return b.OutboxStore.Parked(ctx, q)
}

func (b *brokenOutbox) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	if b.replay != nil {
		return b.replay(ctx, q)
	}
	return b.OutboxStore.Replay(ctx, q)
}

func (b *brokenOutbox) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	if b.discardParked != nil {
		return b.discardParked(ctx, q)
	}
	return b.OutboxStore.DiscardParked(ctx, q)
}

func (b *brokenOutbox) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	if b.discard != nil {
		return b.discard(ctx, notifier, limit)
	}
	return b.OutboxStore.Discard(ctx, notifier, limit)
}

func (b *brokenOutbox) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	if b.setReminder != nil {
		return b.setReminder(ctx, w)
	}
	return b.OutboxStore.SetReminder(ctx, w)
}

func (b *brokenOutbox) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	if b.cancelReminder != nil {
		return b.cancelReminder(ctx, key, name)
	}
	return b.OutboxStore.CancelReminder(ctx, key, name)
}

func (b *brokenOutbox) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	if b.reminders != nil {
		return b.reminders(ctx, key)
	}
	return b.OutboxStore.Reminders(ctx, key)
}

// asking changes the query of Claim.
func asking(alter func(q *incident.ClaimQuery)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			alter(&q)
			return s.Claim(ctx, q)
		}}
	}
}

// answering changes the result of Claim.
func answering(alter func(s incident.OutboxStore, c *incident.Claim)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			claims, err := s.Claim(ctx, q)
			for i := range claims {
				alter(s, &claims[i])
			}
			return claims, err
		}}
	}
}

// ending changes the arguments of Settle.
func ending(alter func(end *incident.Settlement)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			all = slices.Clone(all)
			for i := range all {
				alter(&all[i])
			}
			return s.Settle(ctx, all)
		}}
	}
}

// skipping delivers some claims itself, and returns the others.
func skipping(s incident.OutboxStore, skips func(c incident.Claim) bool) *brokenOutbox {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		for {
			claims, err := s.Claim(ctx, q)
			if err != nil {
				return claims, err
			}
			var rest []incident.Claim
			for _, c := range claims {
				if skips(c) {
					_, _ = s.Settle(ctx, []incident.Settlement{deliver(c)})
				} else {
					rest = append(rest, c)
				}
			}
			if len(rest) > 0 || len(claims) == 0 {
				return rest, nil
			}
		}
	}}
}

// watching records the latest claim of each queue.
func watching(s incident.OutboxStore) (*brokenOutbox, *registry[queueName, incident.Claim]) {
	latest := &registry[queueName, incident.Claim]{}
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for _, c := range claims {
			latest.put(queueOf(c.Ticket), c)
		}
		return claims, err
	}}, latest
}

// withOutboxTx replaces the store that InTx passes to fn.
func withOutboxTx(s incident.OutboxStore, replace func(tx incident.OutboxStore) incident.Store) *brokenOutbox {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error { return fn(replace(tx.(incident.OutboxStore))) })
	}}
}
