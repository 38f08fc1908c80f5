package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

func batchFaults() []outboxFault {
	paged := []string{"Parked/AreInOrderOfPosition"}
	list := []outboxFault{
		{"ParkedRemindersByDate", parkedByDate, paged},
		{"ParkedAfterTheActivities", afterPositions(func(p *incident.ParkedPosition) { p.Reminder = "" }), paged},
		{"ParkedAfterTheName", afterPositions(func(p *incident.ParkedPosition) {
			if p.Reminder != "" {
				p.Sequence = never.UnixMicro()
			}
		}), paged},
		{"ParkedOfAllIncidents", listingFor(func(q *incident.ParkedQuery) { q.Identifier = 0 }), paged},
		{"DiscardParkedDiscardsReplayed", batching(discardParkedCall(), discardsReplayed), []string{"DiscardParked/LeavesTheRest"}},
	}
	for _, b := range []batchCall{replayCall(), discardParkedCall()} {
		work, unknown := []string{b.name + "/WorksInBatches"}, []string{b.name + "/ReturnsErrNotFound"}
		if b.name == "Replay" {
			unknown = []string{"Replay/OfNotifiersReturnsErrNotFound"}
		}
		list = append(list,
			outboxFault{b.name + "InBatchesOfAllNotifiers", batching(b, ofAllNotifiers(b)), work},
			outboxFault{b.name + "WithoutLimit", askingFor(b, func(q *incident.ParkedQuery) { q.Limit = everything }), append(work, "InTx/UndoesBatches")},
			outboxFault{b.name + "FromTheStart", askingFor(b, func(q *incident.ParkedQuery) { q.After = incident.ParkedPosition{} }), work},
			outboxFault{b.name + "OfAllIncidents", askingFor(b, func(q *incident.ParkedQuery) { q.Identifier = 0 }), work},
			outboxFault{b.name + "AfterTheActivities", askingFor(b, func(q *incident.ParkedQuery) { q.After.Reminder = "" }), work},
			outboxFault{b.name + "WithoutLast", answeringFor(b, func(got *incident.ParkedBatch, _ *error) { got.Last = incident.ParkedPosition{} }), work},
			outboxFault{b.name + "WithoutCount", answeringFor(b, func(got *incident.ParkedBatch, _ *error) { got.Count = min(got.Count, 1) }), work},
			outboxFault{b.name + "OfUnknownIsNone", answeringFor(b, func(_ *incident.ParkedBatch, err *error) {
				if errors.Is(*err, incident.ErrNotFound) {
					*err = nil
				}
			}), unknown},
			outboxFault{b.name + "OfNoneIsUnknown", answeringFor(b, func(got *incident.ParkedBatch, err *error) {
				if *err == nil && got.Count == 0 {
					*err = incident.ErrNotFound
				}
			}), append(unknown, work...)},
		)
	}
	return list
}

// askingFor changes the query of Replay or DiscardParked.
func askingFor(b batchCall, alter func(q *incident.ParkedQuery)) outboxPlant {
	return batching(b, func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		alter(&q)
		return b.call(ctx, s, q)
	})
}

// answeringFor changes the result of Replay or DiscardParked.
func answeringFor(b batchCall, alter func(got *incident.ParkedBatch, err *error)) outboxPlant {
	return batching(b, func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		got, err := b.call(ctx, s, q)
		alter(&got, &err)
		return got, err
	})
}

// listingFor changes the query of Parked.
func listingFor(alter func(q *incident.ParkedQuery)) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			alter(&q)
			return s.Parked(ctx, q)
		}}
	}
}

// afterPositions changes the position of Parked.
func afterPositions(alter func(p *incident.ParkedPosition)) outboxPlant {
	return listingFor(func(q *incident.ParkedQuery) { alter(&q.After) })
}

func discardsReplayed(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	got, err := s.DiscardParked(ctx, q)
	for err == nil {
		var n int
		if n, err = s.Discard(ctx, q.Notifier, everything); n == 0 {
			break
		}
	}
	return got, err
}

func discardFaults() []outboxFault {
	all := []string{"Discard/DeletesAllOfANotifier"}
	return []outboxFault{
		{"DiscardOfAllNotifiers", discarding(discardOfAllNotifiers), append(all, "Discard/OfNothing")},
		{"DiscardOfParked", discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, _ int) (int, error) {
			b, err := s.DiscardParked(ctx, parkedFor(acme, notifier))
			return b.Count, err
		}), all},
		{"DiscardCountsQueues", discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error) {
			n, err := s.Discard(ctx, notifier, limit)
			return min(n, 14), err
		}), all},
		{"DiscardDeletesOnce", discardDeletesOnce, all},
		{"DiscardedAreSettled", discardedAreSettled, []string{"Discard/EndsClaims"}},
		{"DiscardWithoutLimit", discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, _ int) (int, error) {
			return s.Discard(ctx, notifier, everything)
		}), []string{"Discard/IsLimited"}},
		{"DiscardOfAPairOfQueues", discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error) {
			return s.Discard(ctx, notifier, 2*limit)
		}), []string{"Discard/IsLimited"}},
		{"DiscardStopsEarly", discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error) {
			if limit == 1 {
				return 0, ctx.Err()
			}
			return s.Discard(ctx, notifier, limit)
		}), []string{"Discard/IsLimited"}},
	}
}

func discardOfAllNotifiers(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error) {
	n, err := s.Discard(ctx, notifier, limit)
	for _, other := range someNotifiers() {
		_, _ = s.Discard(ctx, other, limit)
	}
	return n, err
}

// discardDeletesOnce deletes nothing of a notifier that it has deleted before.
func discardDeletesOnce(s incident.OutboxStore) incident.OutboxStore {
	var done registry[bool, bool]
	return discarding(func(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error) {
		if done.put(true, true) {
			return 0, ctx.Err()
		}
		return s.Discard(ctx, notifier, limit)
	})(s)
}

// discardedAreSettled finds a claim by its queue, even if the queue was deleted since.
func discardedAreSettled(s incident.OutboxStore) incident.OutboxStore {
	return sequenceIsIgnored(s)
}

func batchTxFaults() []outboxFault {
	return []outboxFault{
		{"BatchesOfTxAreOutside", batchesOfTxAreOutside, []string{"InTx/UndoesBatches"}},
		{"RemindersOfTxAreForgotten", replayOfTxIsForgotten, []string{"InTx/CommitsReminders", "InTx/NestsReminders", "InTx/HidesReminders"}},
		{"RemindersOfTxAreFromBefore", remindersOfTxAreFromBefore, []string{"InTx/CommitsReminders"}},
		{"RemindersOfTxAreOutside", remindersOfTxAreOutside, []string{"InTx/UndoesReminders", "InTx/NestsReminders", "Outbox/LosesAndRepeatsNoReminder"}},
		{"UndoneEndIsKept", undoneEndIsKept, []string{"InTx/UndoesReminders"}},
		{"ReminderIsDueBeforeTheCommit", reminderIsDueBeforeTheCommit, []string{"InTx/HidesReminders"}},
		{"CancelOfAllOrganizations", canceling(cancelOfAllOrganizations), []string{"Isolation/OfReminders"}},
		{"RemindersAreSettledByFence", remindersAreSettledByFence, []string{"Isolation/OfReminders"}},
	}
}

// undoing calls fn after a transaction that was undone, with the calls that it made.
func undoing(s incident.OutboxStore, record func(tx incident.OutboxStore, add func(again func())) *brokenOutbox) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var calls []func()
		committed := false
		defer func() {
			for _, again := range calls {
				if !committed {
					again()
				}
			}
		}()
		add := func(again func()) { calls = append(calls, again) }
		var wrap func(tx incident.OutboxStore) incident.Store
		wrap = func(tx incident.OutboxStore) incident.Store {
			b := record(tx, add)
			b.inTx = withOutboxTx(tx, wrap).inTx
			return b
		}
		err := withOutboxTx(s, wrap).InTx(ctx, fn)
		committed = err == nil
		return err
	}}
}

func batchesOfTxAreOutside(s incident.OutboxStore) incident.OutboxStore {
	return undoing(s, func(tx incident.OutboxStore, add func(again func())) *brokenOutbox {
		return &brokenOutbox{OutboxStore: tx, discardParked: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			add(func() { _, _ = s.DiscardParked(context.WithoutCancel(ctx), q) })
			return tx.DiscardParked(ctx, q)
		}}
	})
}

func remindersOfTxAreOutside(s incident.OutboxStore) incident.OutboxStore {
	return undoing(s, func(tx incident.OutboxStore, add func(again func())) *brokenOutbox {
		return &brokenOutbox{OutboxStore: tx, setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
			add(func() { _, _ = s.SetReminder(context.WithoutCancel(ctx), w) })
			return tx.SetReminder(ctx, w)
		}}
	})
}

// undoneEndIsKept ends reminders even if the transaction is undone.
func undoneEndIsKept(s incident.OutboxStore) incident.OutboxStore {
	return undoing(s, func(tx incident.OutboxStore, add func(again func())) *brokenOutbox {
		return &brokenOutbox{OutboxStore: tx, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			if c.EndReminders {
				add(func() { _ = cancelAll(context.WithoutCancel(ctx), s, c.Key, "") })
			}
			return tx.Apply(ctx, c)
		}}
	})
}

func remindersOfTxAreFromBefore(s incident.OutboxStore) incident.OutboxStore {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		before := map[incident.Key][]incident.Reminder{}
		return &brokenOutbox{
			OutboxStore: tx,
			setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
				if _, known := before[w.Key]; !known {
					before[w.Key], _ = tx.Reminders(ctx, w.Key)
				}
				return tx.SetReminder(ctx, w)
			},
			reminders: func(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
				if list, known := before[key]; known {
					return slices.Clone(list), ctx.Err()
				}
				return tx.Reminders(ctx, key)
			},
		}
	})
}

// reminderIsDueBeforeTheCommit lets others claim uncommitted reminders.
func reminderIsDueBeforeTheCommit(s incident.OutboxStore) incident.OutboxStore {
	early := make(chan incident.Claim, everything)
	b := withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		return &brokenOutbox{OutboxStore: tx, setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
			early <- incident.Claim{Ticket: incident.Ticket{Key: w.Key, Reminder: w.Reminder.Name}, Reminder: &w.Reminder, Attempt: 1}
			return tx.SetReminder(ctx, w)
		}}
	})
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		select {
		case c := <-early:
			return []incident.Claim{c}, nil
		default:
			return s.Claim(ctx, q)
		}
	}
	return b
}

func cancelOfAllOrganizations(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
	err := s.CancelReminder(ctx, key, name)
	key.OrganizationID = otherOrganization(key.OrganizationID)
	_ = s.CancelReminder(ctx, key, name)
	return err
}

// remindersAreSettledByFence finds the incident of a ticket by its fence.
func remindersAreSettledByFence(s incident.OutboxStore) incident.OutboxStore {
	var keys registry[int64, incident.Key]
	return &brokenOutbox{
		OutboxStore: s,
		claim:       answering(func(_ incident.OutboxStore, c *incident.Claim) { keys.put(c.Fence, c.Key) })(s).Claim,
		settle: ending(func(end *incident.Settlement) {
			if key, ok := keys.get(end.Fence); ok && end.Reminder != "" {
				end.Key = key
			}
		})(s).Settle,
	}
}
