package storetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func dueReminderFaults() []outboxFault {
	parked, pending := []string{"DueReminder/IsParked"}, []string{"DueReminder/IsPending"}
	return []outboxFault{
		{"RetryMovesTheReminder", retryMovesTheReminder, []string{"DueReminder/IsRetried"}},
		{"RetryOfRemindersGivesUp", ending(func(end *incident.Settlement) {
			if end.Reminder != "" && end.Outcome == incident.OutcomeRetry {
				end.Outcome = incident.OutcomeDelivered
			}
		}), []string{"DueReminder/IsRetried", "Outbox/LosesAndRepeatsNoReminder"}},
		{"RemindersAreRepeated", ending(func(end *incident.Settlement) {
			if end.Reminder != "" && end.Outcome == incident.OutcomeDelivered {
				end.Outcome = incident.OutcomeRelease
			}
		}), []string{"DueReminder/IsRetried", "Outbox/LosesAndRepeatsNoReminder"}},
		{"ReminderWaitsForTheQueue", reminderWaitsForTheQueue, []string{"DueReminder/IsAQueueOfItsOwn"}},
		{"TicketsByIncident", ticketsByIncident, []string{"DueReminder/IsAQueueOfItsOwn"}},
		{"ParkedReminderIsCut", listingReminders(func(p *incident.ParkedNotification) { p.Reminder.Unless = 0 }), parked},
		{"ParkedReminderWithoutUUID", listingReminders(func(p *incident.ParkedNotification) { p.NotificationUUID = uuid.Nil }), parked},
		{"ParkedReminderIsAnActivity", listingReminders(func(p *incident.ParkedNotification) { p.Sequence = p.Reminder.At.UnixMicro() }), parked},
		{"ParkedReminderWithoutNotifier", listingReminders(func(p *incident.ParkedNotification) { p.Notifier = "" }), parked},
		{"ParkedReminderWithoutAttempts", listingReminders(func(p *incident.ParkedNotification) { p.Attempts = 1 }), parked},
		{"ParkedRemindersArePending", parkedRemindersArePending, parked},
		{"ReplayedRemindersAreForgotten", skippingReplayedReminders, []string{"DueReminder/IsReplayed", "DueReminder/StandsBesideParked"}},
		{"ReplayedReminderIsNotMarked", replayedIsNotMarked, []string{"DueReminder/IsReplayed", "Replay/WorksInBatches"}},
		{"ReplayedReminderHasAnotherUUID", reminding(func(c *incident.Claim) {
			if c.Replayed {
				c.Reminder.NotificationUUID = uuid.New()
			}
		}), []string{"DueReminder/IsReplayed"}},
		{"OneParkedOfAName", oneParkedOfAName, []string{"DueReminder/StandsBesideParked", "Parked/AreInOrderOfPosition"}},
		{"SecondCannotBeParked", secondCannotBeParked, []string{"DueReminder/MayBeParkedTwice"}},
		{"LooksAtWaitingReminders", looksAtWaitingReminders, []string{"DueReminder/StandsOut"}},
		{"RemindersHaveALimitOfTheirOwn", remindersHaveALimitOfTheirOwn, []string{"DueReminder/IsLimited"}},
		{"RemindersFirst", preferring(func(c incident.Claim) bool { return c.Reminder != nil }), []string{"DueReminder/TakesTurns"}},
		{"ActivitiesFirst", preferring(func(c incident.Claim) bool { return c.Reminder == nil }), []string{"DueReminder/TakesTurns"}},
		{"WaitingRemindersArePending", countingEach(func(b *incident.Backlog) {
			b.Pending, b.Reminders = b.Pending+b.Reminders, 0
		}), append(pending, "DueReminder/StandsOut")},
		{"DueRemindersAreWaiting", countingEach(func(b *incident.Backlog) {
			b.Pending, b.Reminders = 0, b.Pending+b.Reminders
		}), pending},
		{"OldestSinceTheReminderWasSet", countingEach(func(b *incident.Backlog) {
			if b.Oldest > 0 {
				b.Oldest += shortLease
			}
		}), pending},
		{"RemindersHaveNoAge", countingEach(func(b *incident.Backlog) { b.Oldest = 0 }), pending},
	}
}

// listingReminders changes the parked reminders in the result of Parked.
func listingReminders(alter func(p *incident.ParkedNotification)) outboxPlant {
	return listing(func(p *incident.ParkedNotification) {
		if p.Reminder != nil {
			alter(p)
		}
	})
}

// retryMovesTheReminder sets At to the end of the delay.
func retryMovesTheReminder(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			if r, found := pendingReminder(ctx, s, end.Key, end.Reminder); found && end.Outcome == incident.OutcomeRetry {
				r.At = time.Now().Add(end.After).Truncate(time.Microsecond).UTC()
				_, _ = setReminder(ctx, s, end.Key, r)
			}
		}
		return s.Settle(ctx, all)
	}}
}

// reminderWaitsForTheQueue claims no reminder while the incident's queue is claimed.
func reminderWaitsForTheQueue(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[queueName, bool]
	b := hidingFrom(s, func(_ incident.ClaimQuery, c incident.Claim) bool {
		queue := queueName{Key: c.Key, notifier: c.Notifier}
		if c.Reminder == nil {
			claimed.put(queue, true)
			return false
		}
		held, _ := claimed.get(queue)
		return held
	})
	b.settle = ending(func(end *incident.Settlement) { claimed.put(queueOf(end.Ticket), false) })(s).Settle
	return b
}

// ticketsByIncident finds the claim of a ticket by its incident and notifier.
func ticketsByIncident(s incident.OutboxStore) incident.OutboxStore {
	var latest registry[queueName, incident.Ticket]
	of := func(t incident.Ticket) queueName { return queueName{Key: t.Key, notifier: t.Notifier} }
	return &brokenOutbox{
		OutboxStore: s,
		claim:       answering(func(_ incident.OutboxStore, c *incident.Claim) { latest.put(of(c.Ticket), c.Ticket) })(s).Claim,
		settle: ending(func(end *incident.Settlement) {
			if t, ok := latest.get(of(end.Ticket)); ok {
				end.Ticket = t
			}
		})(s).Settle,
	}
}

func parkedRemindersArePending(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, reminders: func(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
		all, err := s.Reminders(ctx, key)
		for _, notifier := range someNotifiers() {
			list, _ := s.Parked(ctx, parkedFor(key.OrganizationID, notifier))
			for _, p := range list {
				if p.Incident == key && p.Reminder != nil {
					all = append(all, *p.Reminder)
				}
			}
		}
		return all, err
	}}
}

func skippingReplayedReminders(s incident.OutboxStore) incident.OutboxStore {
	return skipping(s, func(c incident.Claim) bool { return c.Replayed && c.Reminder != nil })
}

// oneParkedOfAName lists the last of the parked reminders of a name.
func oneParkedOfAName(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
		list, err := s.Parked(ctx, q)
		var kept []incident.ParkedNotification
		for i, p := range list {
			if p.Reminder == nil || i+1 == len(list) || list[i+1].Reminder == nil || list[i+1].Reminder.Name != p.Reminder.Name {
				kept = append(kept, p)
			}
		}
		return kept, err
	}}
}

// secondCannotBeParked fails if something is parked at the position.
func secondCannotBeParked(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			list, _ := s.Parked(ctx, parkedFor(end.Key.OrganizationID, end.Notifier))
			at := incident.ParkedPosition{Identifier: end.Key.Identifier, Reminder: end.Reminder, Sequence: end.Sequence}
			if end.Outcome == incident.OutcomePark && slices.Contains(positionsOfParked(list), at) {
				return nil, incident.ErrConflict
			}
		}
		return s.Settle(ctx, all)
	}}
}

// looksAtWaitingReminders gives up after it has seen some that are not due.
func looksAtWaitingReminders(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		if all, err := s.Backlog(ctx); err != nil || all[q.Notifier].Reminders > 10*int64(q.Limit) {
			return nil, err
		}
		return s.Claim(ctx, q)
	}}
}

// remindersHaveALimitOfTheirOwn claims activities, and then as many reminders.
func remindersHaveALimitOfTheirOwn(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for _, c := range claims {
			if c.Reminder != nil {
				more, _ := s.Claim(ctx, q)
				return append(claims, more...)[:min(len(claims)+len(more), q.Limit)], err
			}
		}
		return claims, err
	}}
}

// preferring claims what is preferred before all else.
func preferring(isPreferred func(c incident.Claim) bool) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			all := q
			all.Limit, all.PerOrganization = everything, everything
			claims, err := s.Claim(ctx, all)
			slices.SortStableFunc(claims, func(a, b incident.Claim) int {
				return cmp.Compare(map[bool]int{true: 0, false: 1}[isPreferred(a)], map[bool]int{true: 0, false: 1}[isPreferred(b)])
			})
			most := min(q.Limit, len(claims))
			for _, c := range claims[most:] {
				_, _ = s.Settle(ctx, []incident.Settlement{release(c)})
			}
			return claims[:most], err
		}}
	}
}
