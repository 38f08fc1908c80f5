package storetest

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// outboxPlant makes a broken outbox of a good one.
type outboxPlant = func(s incident.OutboxStore) incident.OutboxStore

// everywhere plants a fault in the transactions too.
func everywhere(breaks func(s incident.OutboxStore) *brokenOutbox) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		b := breaks(s)
		b.inTx = withOutboxTx(s, func(tx incident.OutboxStore) incident.Store { return everywhere(breaks)(tx) }).inTx
		return b
	}
}

// changing changes the changes of Apply.
func changing(alter func(c *incident.Change)) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			alter(&c)
			return s.Apply(ctx, c)
		}}
	})
}

// applied calls fn after each Apply.
func applied(fn func(ctx context.Context, s incident.OutboxStore, c incident.Change, a incident.Applied, err error)) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			a, err := s.Apply(ctx, c)
			fn(ctx, s, c, a, err)
			return a, err
		}}
	})
}

// setting replaces SetReminder.
func setting(set func(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error)) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
			return set(ctx, s, w)
		}}
	})
}

// resetting changes the arguments of SetReminder.
func resetting(alter func(w *incident.ReminderWrite)) outboxPlant {
	return setting(func(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
		alter(&w)
		return s.SetReminder(ctx, w)
	})
}

// canceling replaces CancelReminder.
func canceling(cancel func(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, cancelReminder: func(ctx context.Context, key incident.Key, name string) error {
			return cancel(ctx, s, key, name)
		}}
	})
}

// recalling changes the result of Reminders.
func recalling(alter func(key incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error)) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, reminders: func(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
			all, err := s.Reminders(ctx, key)
			return alter(key, all, err)
		}}
	})
}

// batching replaces Replay or DiscardParked.
func batching(b batchCall, call func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error)) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		broken := &brokenOutbox{OutboxStore: s}
		if b.name == "Replay" {
			broken.replay = func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
				return call(ctx, s, q)
			}
		} else {
			broken.discardParked = func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
				return call(ctx, s, q)
			}
		}
		return broken
	})
}

// discarding replaces Discard.
func discarding(discard func(ctx context.Context, s incident.OutboxStore, notifier string, limit int) (int, error)) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, discard: func(ctx context.Context, notifier string, limit int) (int, error) {
			return discard(ctx, s, notifier, limit)
		}}
	}
}

// hiding releases some claims, and returns the others.
func hiding(hides func(q incident.ClaimQuery, c incident.Claim) bool) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore { return hidingFrom(s, hides) }
}

func hidingFrom(s incident.OutboxStore, hides func(q incident.ClaimQuery, c incident.Claim) bool) *brokenOutbox {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		return slices.DeleteFunc(claims, func(c incident.Claim) bool {
			if hides(q, c) {
				_, _ = s.Settle(ctx, []incident.Settlement{release(c)})
				return true
			}
			return false
		}), err
	}}
}

// recounting changes the result of Backlog.
func recounting(alter func(all map[string]incident.Backlog) map[string]incident.Backlog) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, backlog: func(ctx context.Context) (map[string]incident.Backlog, error) {
			all, err := s.Backlog(ctx)
			return alter(all), err
		}}
	}
}

// countingEach changes the backlog of each notifier.
func countingEach(alter func(b *incident.Backlog)) outboxPlant {
	return recounting(func(all map[string]incident.Backlog) map[string]incident.Backlog {
		for name, b := range all {
			alter(&b)
			all[name] = b
		}
		return all
	})
}
