package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func reminderFaults() []outboxFault {
	whole, bytes := []string{"SetReminder/KeepsEveryField"}, []string{"SetReminder/ComparesNames"}
	limited, version := []string{"SetReminder/IsLimited"}, []string{"SetReminder/ChecksTheVersion"}
	list := []outboxFault{
		{"ReminderOfClaimsIsCut", reminding(func(c *incident.Claim) { c.Reminder.Status = 0 }), whole},
		{"ClaimOfReminderWithoutSubscribers", reminding(func(c *incident.Claim) { c.Subscribers = nil }), whole},
		{"ClaimOfReminderWithoutIncident", reminding(func(c *incident.Claim) { c.Incident = incident.Incident{} }), whole},
		{"ClaimOfReminderHasAnActivity", answering(func(s incident.OutboxStore, c *incident.Claim) {
			if c.Reminder != nil {
				c.Activity, _ = s.Activity(context.Background(), c.Key, 1)
			}
		}), whole},
		{"ClaimWithoutNow", reminding(func(c *incident.Claim) { c.Now = time.Time{} }), whole},
		{"ClaimInLocalTime", reminding(func(c *incident.Claim) { c.Now = c.Now.In(time.FixedZone("UTC", 0)) }), whole},
		{"ClaimInNanoseconds", reminding(func(c *incident.Claim) { c.Now = c.Now.Add(1) }), whole},
		{"TicketOfReminderInSeconds", reminding(func(c *incident.Claim) { c.Sequence /= 1e6 }), whole},
		{"ReminderNamesAreFolded", resetting(func(w *incident.ReminderWrite) { w.Reminder.Name = strings.ToLower(w.Reminder.Name) }), bytes},
		{"ReminderNamesAreCut", resetting(func(w *incident.ReminderWrite) {
			w.Reminder.Name = w.Reminder.Name[:min(len(w.Reminder.Name), 254)]
		}), bytes},
		{"CancelIsFolded", canceling(cancelFolded), bytes},
		{"DueEarly", dueOff(-25 * time.Millisecond), []string{"SetReminder/IsDueAtItsTime"}},
		{"DueLate", dueOff(time.Hour), []string{"SetReminder/IsDueAtItsTime"}},
		{"PastIsRefused", setting(pastIsRefused), []string{"SetReminder/MayBeInThePast"}},
		{"SecondIsIgnored", setting(secondIsIgnored), []string{
			"SetReminder/MovesIt", "SetReminder/EndsClaims", "SetReminder/DuringItsDelivery", "InTx/CommitsReminders",
		}},
		{"OldReminderStays", setting(oldReminderStays), []string{"SetReminder/MovesIt"}},
		{"MovedKeepsItsClaim", movedKeepsItsClaim, []string{"SetReminder/EndsClaims", "SetReminder/DuringItsDelivery"}},
		{"AgainIsNew", setting(againIsNew), []string{"SetReminder/AgainChangesNothing"}},
		{"MostIsIgnored", resetting(func(w *incident.ReminderWrite) { w.Most = everything }), limited},
		{"MostCountsItself", setting(mostCountsItself), limited},
		{"MostOfANotifier", setting(mostOfANotifier), limited},
		{"RefusedIsSet", setting(refusedIsSet), limited},
		{"VersionIsIgnored", setting(versionIsIgnored), version},
		{"VersionIsCheckedLater", setting(versionIsCheckedLater), version},
		{"VersionIsCheckedBefore", setting(versionIsCheckedBefore), []string{"SetReminder/ComesBeforeTheEndOrFails"}},
		{"UnknownIsRefused", setting(func(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
			ok, err := s.SetReminder(ctx, w)
			if errors.Is(err, incident.ErrNotFound) {
				return false, nil
			}
			return ok, err
		}), []string{"SetReminder/ReturnsErrNotFound"}},
		{"RemindersAreActivities", setting(func(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
			ok, err := s.SetReminder(ctx, w)
			_, _ = s.Apply(ctx, comment(w.Key, "reminded"))
			return ok, err
		}), []string{"SetReminder/LeavesTheIncidentAlone"}},
		{"RemindersHaveNoFence", fenceIsIgnored, []string{
			"SetReminder/EndsClaimsOfTheSame", "SetReminder/IsNewAfterItsEnd", "CancelReminder/EndsClaims", "EndReminders/EndsClaims",
		}},
		{"FencesOfRemindersAreAttempts", fencesAreAttempts, []string{"SetReminder/KeepsFencesApart"}},
		{"DeliveredIsGone", deliveredIsGone, []string{"SetReminder/DuringItsDelivery", "SetReminder/EndsClaims"}},
	}
	for name, drop := range map[string]func(r *incident.Reminder){
		"Notifier":    func(r *incident.Reminder) { r.Notifier = "" },
		"Unless":      func(r *incident.Reminder) { r.Unless = 0 },
		"Status":      func(r *incident.Reminder) { r.Status = incident.StatusOpen },
		"UUID":        func(r *incident.Reminder) { r.NotificationUUID = uuid.Nil },
		"Decimals":    func(r *incident.Reminder) { r.At = r.At.Truncate(time.Millisecond) },
		"FarAway":     func(r *incident.Reminder) { r.At = r.At.Truncate(time.Second) },
		"Punctuation": func(r *incident.Reminder) { r.Name = strings.ReplaceAll(r.Name, "'", "") },
	} {
		list = append(list, outboxFault{name + "MissingInReminders", resetting(func(w *incident.ReminderWrite) { drop(&w.Reminder) }), whole})
	}
	return list
}

// reminding changes the claims of reminders.
func reminding(alter func(c *incident.Claim)) outboxPlant {
	return answering(func(_ incident.OutboxStore, c *incident.Claim) {
		if c.Reminder != nil {
			alter(c)
		}
	})
}

// pendingReminder returns the pending reminder of a name.
func pendingReminder(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) (r incident.Reminder, ok bool) {
	all, err := s.Reminders(ctx, key)
	if i := slices.IndexFunc(all, func(r incident.Reminder) bool { return r.Name == name }); err == nil && i >= 0 {
		return all[i], true
	}
	return r, false
}

func cancelFolded(ctx context.Context, s incident.OutboxStore, key incident.Key, name string) error {
	all, err := s.Reminders(ctx, key)
	for _, r := range all {
		if strings.EqualFold(r.Name, name) {
			err = errors.Join(err, s.CancelReminder(ctx, key, r.Name))
		}
	}
	return err
}

// dueOff makes reminders due at another time, and hides it.
func dueOff(by time.Duration) outboxPlant {
	return func(s incident.OutboxStore) incident.OutboxStore {
		b := resetting(func(w *incident.ReminderWrite) {
			if w.Reminder.At.Before(never) {
				w.Reminder.At = w.Reminder.At.Add(by)
			}
		})(s).(*brokenOutbox)
		b.claim = reminding(func(c *incident.Claim) { c.Reminder.At = c.Reminder.At.Add(-by) })(s).Claim
		return b
	}
}

func pastIsRefused(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	if w.Reminder.At.Before(time.Now()) {
		return false, incident.ErrInvalid
	}
	return s.SetReminder(ctx, w)
}

func secondIsIgnored(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	if _, found := pendingReminder(ctx, s, w.Key, w.Reminder.Name); found {
		return true, nil
	}
	return s.SetReminder(ctx, w)
}

// oldReminderStays keeps the reminder of the other notifier.
func oldReminderStays(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	old, found := pendingReminder(ctx, s, w.Key, w.Reminder.Name)
	ok, err := s.SetReminder(ctx, w)
	if found && old.Notifier != w.Reminder.Notifier && err == nil {
		old.Name += " of " + old.Notifier
		w.Reminder = old
		return s.SetReminder(ctx, w)
	}
	return ok, err
}

// movedKeepsItsClaim moves a claimed reminder when its claim ends.
func movedKeepsItsClaim(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[queueName, bool]
	return &brokenOutbox{
		OutboxStore: s,
		claim:       answering(func(_ incident.OutboxStore, c *incident.Claim) { claimed.put(queueOf(c.Ticket), true) })(s).Claim,
		settle:      ending(func(end *incident.Settlement) { claimed.put(queueOf(end.Ticket), false) })(s).Settle,
		setReminder: func(ctx context.Context, w incident.ReminderWrite) (bool, error) {
			if held, _ := claimed.get(queueName{Key: w.Key, notifier: w.Reminder.Notifier, reminder: w.Reminder.Name}); held {
				return true, nil
			}
			return s.SetReminder(ctx, w)
		},
	}
}

func againIsNew(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	_ = s.CancelReminder(ctx, w.Key, w.Reminder.Name)
	return s.SetReminder(ctx, w)
}

func mostCountsItself(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	if all, err := s.Reminders(ctx, w.Key); err == nil && len(all) >= w.Most {
		return false, nil
	}
	return s.SetReminder(ctx, w)
}

func mostOfANotifier(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	all, err := s.Reminders(ctx, w.Key)
	if err != nil {
		return false, err
	}
	for _, r := range all {
		if r.Notifier != w.Reminder.Notifier {
			w.Most++
		}
	}
	return s.SetReminder(ctx, w)
}

func refusedIsSet(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	ok, err := s.SetReminder(ctx, w)
	if err == nil && !ok {
		w.Most = everything
		_, err = s.SetReminder(ctx, w)
	}
	return ok, err
}

// onPresentVersion sets a reminder on the present version of the incident.
func onPresentVersion(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	if st, err := s.Load(ctx, w.Key); err == nil {
		w.ExpectVersion = st.Incident.Version
	}
	return s.SetReminder(ctx, w)
}

func versionIsIgnored(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	return onPresentVersion(ctx, s, w)
}

func versionIsCheckedLater(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	ok, err := s.SetReminder(ctx, w)
	if errors.Is(err, incident.ErrVersionConflict) {
		_, _ = onPresentVersion(ctx, s, w)
	}
	return ok, err
}

func versionIsCheckedBefore(ctx context.Context, s incident.OutboxStore, w incident.ReminderWrite) (bool, error) {
	st, err := s.Load(ctx, w.Key)
	if err != nil || st.Incident.Version != w.ExpectVersion {
		return s.SetReminder(ctx, w)
	}
	pause()
	return onPresentVersion(ctx, s, w)
}

// deliveredIsGone removes a delivered reminder by its name.
func deliveredIsGone(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		busy, err := s.Settle(ctx, all)
		for _, end := range all {
			if end.Reminder != "" && end.Outcome == incident.OutcomeDelivered {
				_ = s.CancelReminder(ctx, end.Key, end.Reminder)
			}
		}
		return busy, err
	}}
}
