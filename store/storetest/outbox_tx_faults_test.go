package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

func outboxTxFaults() []outboxFault {
	before, within := []string{"Context/CancelledBefore"}, []string{"Context/CancelledWithinTx"}
	return []outboxFault{
		{"ActivityOfTheOtherOrganization", answering(activityOfTheOtherOrganization), []string{"Isolation/OfClaims"}},
		{"SubscribersOfAllOrganizations", answering(subscribersOfAllOrganizations), []string{"Isolation/OfClaims"}},
		{"SettlesAllOrganizations", settlesAllOrganizations, []string{"Isolation/OfClaims"}},
		{"ParkedOfAllOrganizations", parkedOfAllOrganizations, []string{"Isolation/OfParked", "Parked/ArePaged"}},
		{"ReplayOfAllOrganizations", replayOfAllOrganizations, []string{"Isolation/OfParked"}},
		{"ClaimIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, claim: careless(s).Claim}
		}, before},
		{"SettleIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, settle: careless(s).Settle}
		}, before},
		{"BacklogIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, backlog: careless(s).Backlog}
		}, before},
		{"ParkedIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, parked: careless(s).Parked}
		}, before},
		{"ReplayIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, replay: careless(s).Replay}
		}, before},
		{"DiscardParkedIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, discardParked: careless(s).DiscardParked}
		}, before},
		{"DiscardIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, discard: careless(s).Discard}
		}, before},
		{"SetReminderIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, setReminder: careless(s).SetReminder}
		}, before},
		{"CancelReminderIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, cancelReminder: careless(s).CancelReminder}
		}, before},
		{"RemindersIgnoreTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return &brokenOutbox{OutboxStore: s, reminders: careless(s).Reminders}
		}, before},
		{"RemindersOfTxIgnoreTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
				return &brokenOutbox{OutboxStore: tx, setReminder: careless(tx).SetReminder}
			})
		}, within},
		{"OutboxOfTxIgnoresTheContext", func(s incident.OutboxStore) incident.OutboxStore {
			return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
				return &brokenOutbox{OutboxStore: tx, parked: careless(tx).Parked, replay: careless(tx).Replay}
			})
		}, within},
		{"OutboxOfTxNeverEnds", outboxOfTxNeverEnds, within},
		{"TxIsNoOutbox", txIsNoOutbox, []string{"Context/CancelledWithinTx", "InTx/ReplaysAndCommits", "InTx/UndoesAReplay"}},
		{"ReplayOfTxIsOutside", replayOfTxIsOutside, []string{"InTx/UndoesAReplay"}},
		{"ParkedOfTxIsFromBefore", parkedOfTxIsFromBefore, []string{"InTx/ReplaysAndCommits", "InTx/UndoesAReplay"}},
		{"ReplayOfTxIsForgotten", replayOfTxIsForgotten, []string{"InTx/ReplaysAndCommits"}},
	}
}

func otherOrganization(org incident.OrganizationID) incident.OrganizationID {
	if org == acme {
		return umbrella
	}
	return acme
}

func activityOfTheOtherOrganization(s incident.OutboxStore, c *incident.Claim) {
	key := incident.Key{OrganizationID: otherOrganization(c.Key.OrganizationID), Identifier: c.Key.Identifier}
	if a, err := s.Activity(context.Background(), key, c.Sequence); err == nil {
		c.Activity = a
	}
}

func subscribersOfAllOrganizations(s incident.OutboxStore, c *incident.Claim) {
	key := incident.Key{OrganizationID: otherOrganization(c.Key.OrganizationID), Identifier: c.Key.Identifier}
	subs, _ := s.Subscribers(context.Background(), key)
	for _, sub := range subs {
		c.Subscribers = append(c.Subscribers, sub.UserID)
	}
	slices.Sort(c.Subscribers)
	c.Subscribers = slices.Compact(c.Subscribers)
}

func settlesAllOrganizations(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			key := incident.Key{OrganizationID: otherOrganization(end.Key.OrganizationID), Identifier: end.Key.Identifier}
			if c, ok := latest.get(queueName{Key: key}); ok {
				end.Ticket = c.Ticket
				_, _ = s.Settle(ctx, []incident.Settlement{end})
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

func parkedOfAllOrganizations(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
		list, err := s.Parked(ctx, q)
		q.OrganizationID = otherOrganization(q.OrganizationID)
		more, _ := s.Parked(ctx, q)
		list = append(list, more...)
		return list[:min(len(list), q.Limit)], err
	}}
}

func replayOfAllOrganizations(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		replayed, err := s.Replay(ctx, q)
		q.OrganizationID = otherOrganization(q.OrganizationID)
		_, _ = s.Replay(ctx, q)
		return replayed, err
	}}
}

// careless continues after the context is done.
func careless(s incident.OutboxStore) *brokenOutbox {
	return &brokenOutbox{
		OutboxStore: s,
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			return s.Claim(context.WithoutCancel(ctx), q)
		},
		settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			return s.Settle(context.WithoutCancel(ctx), all)
		},
		backlog: func(ctx context.Context) (map[string]incident.Backlog, error) {
			return s.Backlog(context.WithoutCancel(ctx))
		},
		parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			return s.Parked(context.WithoutCancel(ctx), q)
		},
		replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			return s.Replay(context.WithoutCancel(ctx), q)
		},
		discardParked: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			return s.DiscardParked(context.WithoutCancel(ctx), q)
		},
		discard: func(ctx context.Context, notifier string, limit int) (int, error) {
			return s.Discard(context.WithoutCancel(ctx), notifier, limit)
		},
		setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
			return s.SetReminder(context.WithoutCancel(ctx), w)
		},
		cancelReminder: func(ctx context.Context, key incident.Key, name string) error {
			return s.CancelReminder(context.WithoutCancel(ctx), key, name)
		},
		reminders: func(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
			return s.Reminders(context.WithoutCancel(ctx), key)
		},
	}
}

// outboxOfTxNeverEnds works outside the transaction after its end.
func outboxOfTxNeverEnds(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var late *brokenOutbox
		defer func() {
			if late != nil {
				late.OutboxStore = s
			}
		}()
		return s.InTx(ctx, func(tx incident.Store) error {
			late = &brokenOutbox{OutboxStore: tx.(incident.OutboxStore)}
			return fn(late)
		})
	}}
}

func txIsNoOutbox(s incident.OutboxStore) incident.OutboxStore {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store { return &broken{Store: tx} })
}

// replayOfTxIsOutside replays even if the transaction is undone.
func replayOfTxIsOutside(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var replayed []incident.ParkedQuery
		err := withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
			return &brokenOutbox{OutboxStore: tx, replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
				replayed = append(replayed, q)
				return tx.Replay(ctx, q)
			}}
		}).InTx(ctx, fn)
		for _, q := range replayed {
			if err != nil {
				_, _ = s.Replay(context.WithoutCancel(ctx), q)
			}
		}
		return err
	}}
}

func parkedOfTxIsFromBefore(s incident.OutboxStore) incident.OutboxStore {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		before, err := tx.Parked(context.Background(), incident.ParkedQuery{OrganizationID: acme, Limit: everything})
		return &brokenOutbox{OutboxStore: tx, parked: func(context.Context, incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			return slices.Clone(before), err
		}}
	})
}

// replayOfTxIsForgotten undoes the replay at the commit.
func replayOfTxIsForgotten(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		err := s.InTx(ctx, func(tx incident.Store) error { return errors.Join(fn(tx), errUndo) })
		if errors.Is(err, errUndo) {
			return nil
		}
		return err
	}}
}
