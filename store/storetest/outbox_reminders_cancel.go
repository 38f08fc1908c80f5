package storetest

import "github.com/incidentkit/incident"

// A cancelled reminder is not delivered, even if it was due, claimed, delayed or replayed. A parked
// reminder stays parked.
func cancelReminderEndsIt(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("cancelled", notifier)
		other := reminder("other", notifier)
		other.At = never
		mustRemind(t, s, key, other)
		for name, prepare := range map[string]func(){
			"it was set": func() {},
			"it failed":  func() { mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), longLease)) },
			"its claim":  func() { mustClaimReminder(t, s, key, r) },
			"its replay": func() {
				mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
				mustReplayBatch(t, s, parkedFor(acme, notifier))
			},
			"the claim of its replay": func() {
				mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
				mustReplayBatch(t, s, parkedFor(acme, notifier))
				mustClaimReminder(t, s, key, r)
			},
		} {
			mustRemind(t, s, key, r)
			prepare()
			mustCancel(t, s, key, r.Name)
			wantReminders(t, s, key, "after CancelReminder() after "+name, other)
			wantNoClaimOf(t, s, notifier, "after CancelReminder() after "+name)
			wantBacklogs(t, s, "after CancelReminder() after "+name, map[string]counts{notifier: {reminders: 1}})
		}
		mustParkReminder(t, s, key, r)
		mustCancel(t, s, key, r.Name)
		wantBacklogs(t, s, "after CancelReminder() of a parked reminder", map[string]counts{notifier: {parked: 1, reminders: 1}})
		mustDiscardParked(t, s, parkedFor(acme, notifier))
		mustCancel(t, s, key, other.Name)
		wantBacklogs(t, s, "after all were cancelled", map[string]counts{})
	}
}

// Cancelling a reminder that does not exist changes nothing.
func cancelReminderOfNothing(t *trial, s incident.OutboxStore) {
	key, other := mustQueue(t, s, acme, 1), mustQueue(t, s, acme, 0)
	r := reminder("kept", "")
	mustRemind(t, s, other, r)
	mustCancel(t, s, key, r.Name)
	mustCancel(t, s, key, "")
	mustCancel(t, s, other, "kep")
	mustCancel(t, s, other, "Kept")
	wantReminders(t, s, other, "after others were cancelled", r)
	wantBacklogs(t, s, "after others were cancelled", map[string]counts{"": {pending: 2}})
}

func cancelReminderReturnsErrNotFound(t *trial, s incident.OutboxStore) {
	wantUnknown(t, s, "CancelReminder", func(key incident.Key) error { return s.CancelReminder(t.Context(), key, "kept") })
}

func remindersReturnErrNotFound(t *trial, s incident.OutboxStore) {
	wantUnknown(t, s, "Reminders", func(key incident.Key) error {
		_, err := s.Reminders(t.Context(), key)
		return err
	})
}

// wantUnknown checks that a call returns [incident.ErrNotFound] for unknown incidents, and leaves
// the reminders of others.
func wantUnknown(t *trial, s incident.OutboxStore, method string, call func(key incident.Key) error) {
	t.Helper()
	mine, others, second := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0), mustQueue(t, s, umbrella, 0)
	r := reminder("kept", "")
	mustRemind(t, s, mine, r)
	mustRemind(t, s, others, r)
	mustRemind(t, s, second, r)
	for _, unknown := range unknownKeys() {
		wantError(t, method+"("+unknown.String()+")", call(unknown), incident.ErrNotFound)
	}
	wantReminders(t, s, mine, "after calls for unknown incidents", r)
	wantReminders(t, s, others, "after calls for unknown incidents", r)
	wantReminders(t, s, second, "after calls for unknown incidents", r)
}
