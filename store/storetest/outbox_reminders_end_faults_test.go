package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func reminderEndFaults() []outboxFault {
	cancels, ends := []string{"CancelReminder/EndsIt"}, []string{"EndReminders/EndsAll"}
	order, write := []string{"Reminders/AreInOrder"}, []string{"EndReminders/OfAWriteOnly"}
	return []outboxFault{
		{"CancelIsForgotten", canceling(func(context.Context, incident.OutboxStore, incident.Key, string) error { return nil }), []string{
			"CancelReminder/EndsIt", "CancelReminder/EndsClaims", "InTx/CommitsReminders", "Outbox/LosesAndRepeatsNoReminder",
		}},
		{"CancelOfOneThatIsPending", canceling(cancelPending), cancels},
		{"CancelOfAll", canceling(cancelAll), cancels},
		{"CancelOfParked", canceling(cancelParked), cancels},
		{"CancelledIsRetried", cancelledIsRetried, []string{"CancelReminder/EndsClaims", "EndReminders/EndsClaims"}},
		{"CancelOfNothingIsAnError", canceling(func(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
			if _, found := pendingReminder(ctx, s, key, name); !found {
				return incident.ErrNotFound
			}
			return s.CancelReminder(ctx, key, name)
		}), []string{"CancelReminder/OfNothing"}},
		{"CancelByPrefix", canceling(cancelByPrefix), []string{"CancelReminder/OfNothing"}},
		{"CancelOfUnknownIsNothing", canceling(func(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
			if err := s.CancelReminder(ctx, key, name); !errors.Is(err, incident.ErrNotFound) {
				return err
			}
			return nil
		}), []string{"CancelReminder/ReturnsErrNotFound"}},
		{"RemindersAreReversed", recalling(func(_ incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error) {
			slices.Reverse(all)
			return all, err
		}), order},
		{"RemindersByTime", recalling(func(_ incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error) {
			slices.SortFunc(all, func(a, b incident.Reminder) int { return a.At.Compare(b.At) })
			return all, err
		}), order},
		{"RemindersAreFolded", recalling(func(_ incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error) {
			slices.SortFunc(all, func(a, b incident.Reminder) int {
				return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
			})
			return all, err
		}), order},
		{"RemindersOfUnknownAreNone", recalling(func(_ incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error) {
			if errors.Is(err, incident.ErrNotFound) {
				return nil, nil
			}
			return all, err
		}), []string{"Reminders/ReturnErrNotFound"}},
		{"RemindersAreShared", remindersAreShared, []string{"Reminders/AreTheCallersMemory"}},
		{"ClaimedRemindersAreShared", claimedRemindersAreShared, []string{"Reminders/AreTheCallersMemory"}},
		{"EndIsIgnored", changing(func(c *incident.Change) { c.EndReminders = false }), []string{
			"EndReminders/EndsAll", "EndReminders/EndsClaims", "EndReminders/OfOneIncident", "SetReminder/ComesBeforeTheEndOrFails",
		}},
		{"EndNeedsARow", changing(func(c *incident.Change) { c.EndReminders = c.EndReminders && c.Incident != nil }), ends},
		{"EndNeedsNoRow", changing(func(c *incident.Change) { c.EndReminders = c.EndReminders && c.Incident == nil }), ends},
		{"EndOfOneNotifier", endingEach(func(r incident.Reminder) bool { return r.Notifier == "" }), ends},
		{"EndOfPendingReminders", endingEach(func(incident.Reminder) bool { return true }), ends},
		{"EndOfParked", applied(endOfParked), []string{"EndReminders/LeavesTheRest"}},
		{"EndQueuesNothing", changing(func(c *incident.Change) {
			if c.EndReminders {
				c.Notify = nil
			}
		}), []string{"EndReminders/LeavesTheRest"}},
		{"EndOfAllIncidents", applied(endOfAllIncidents), []string{"EndReminders/OfOneIncident"}},
		{"EveryRowEnds", changing(func(c *incident.Change) { c.EndReminders = c.EndReminders || c.Incident != nil }), write},
		{"ReplayedEnds", applied(func(ctx context.Context, s incident.OutboxStore, c incident.Change, a incident.Applied, _ error) {
			if a.Replayed && c.EndReminders {
				_ = cancelAll(ctx, s, c.Key, "")
			}
		}), write},
		{"FailureEnds", applied(func(ctx context.Context, s incident.OutboxStore, c incident.Change, _ incident.Applied, err error) {
			if err != nil && c.EndReminders {
				_ = cancelAll(ctx, s, c.Key, "")
			}
		}), write},
	}
}

// cancelPending leaves replayed reminders.
func cancelPending(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
	if _, found := pendingReminder(ctx, s, key, name); !found {
		return nil
	}
	return s.CancelReminder(ctx, key, name)
}

func cancelAll(ctx context.Context, s incident.OutboxStore, key incident.Key, _ string) error {
	all, err := s.Reminders(ctx, key)
	for _, r := range all {
		err = errors.Join(err, s.CancelReminder(ctx, key, r.Name))
	}
	return err
}

func cancelParked(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
	for _, notifier := range someNotifiers() {
		q := parkedFor(key.OrganizationID, notifier)
		q.Identifier = key.Identifier
		_, _ = s.DiscardParked(ctx, q)
	}
	return s.CancelReminder(ctx, key, name)
}

func cancelByPrefix(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
	all, err := s.Reminders(ctx, key)
	for _, r := range all {
		if strings.HasPrefix(r.Name, name) {
			err = errors.Join(err, s.CancelReminder(ctx, key, r.Name))
		}
	}
	return err
}

// cancelledIsRetried keeps a claimed reminder, whatever happened to it since.
func cancelledIsRetried(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[int64, *incident.Reminder] // by fence
	return &brokenOutbox{
		OutboxStore: s,
		claim:       answering(func(_ incident.OutboxStore, c *incident.Claim) { claimed.put(c.Fence, c.Reminder) })(s).Claim,
		settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			for _, end := range all {
				r, _ := claimed.get(end.Fence)
				again := end.Outcome == incident.OutcomeRetry || end.Outcome == incident.OutcomeRelease
				if _, found := pendingReminder(ctx, s, end.Key, end.Reminder); r != nil && again && !found {
					_, _ = setReminder(ctx, s, end.Key, *r)
				}
			}
			return s.Settle(ctx, all)
		},
	}
}

func remindersAreShared(s incident.OutboxStore) incident.OutboxStore {
	var lists registry[incident.Key, []incident.Reminder]
	return recalling(func(key incident.Key, all []incident.Reminder, err error) ([]incident.Reminder, error) {
		return once(&lists, key, all), err
	})(s)
}

func claimedRemindersAreShared(s incident.OutboxStore) incident.OutboxStore {
	var shared registry[uuid.UUID, *incident.Reminder]
	return reminding(func(c *incident.Claim) { c.Reminder = once(&shared, c.Reminder.NotificationUUID, c.Reminder) })(s)
}

// endingEach ends the pending reminders for which ends returns true.
func endingEach(ends func(r incident.Reminder) bool) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			if c.EndReminders {
				all, _ := s.Reminders(ctx, c.Key)
				for _, r := range all {
					if ends(r) {
						_ = s.CancelReminder(ctx, c.Key, r.Name)
					}
				}
			}
			c.EndReminders = false
			return s.Apply(ctx, c)
		}}
	})
}

func endOfParked(ctx context.Context, s incident.OutboxStore, c incident.Change, _ incident.Applied, _ error) {
	if c.EndReminders {
		_ = cancelParked(ctx, s, c.Key, "-")
	}
}

func endOfAllIncidents(ctx context.Context, s incident.OutboxStore, c incident.Change, _ incident.Applied, _ error) {
	if c.EndReminders {
		for id := range int64(9) {
			_ = cancelAll(ctx, s, incident.Key{OrganizationID: c.Key.OrganizationID, Identifier: id}, "")
		}
	}
}
