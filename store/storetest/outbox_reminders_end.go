package storetest

import (
	"fmt"
	"sync"

	"github.com/incidentkit/incident"
)

// EndReminders ends all pending reminders of the incident for all notifiers: due, claimed, delayed
// and replayed. The change may have a row or not.
func endRemindersEndsAll(t *trial, s incident.OutboxStore) {
	for _, withRow := range []bool{false, true} {
		st := mustCreate(t, s, draft(acme))
		key, c := st.Incident.Key(), endingReminders(st.Incident.Key())
		if withRow {
			c = transition(st, incident.StatusClosed)
			c.EndReminders = true
		}
		for i, name := range someNotifiers() {
			r := reminder(fmt.Sprint("claimed ", i), name)
			delayed, replayed, far := reminder("delayed "+name, name), reminder("replayed "+name, name), reminder("far "+name, name)
			far.At = never
			mustParkReminder(t, s, key, replayed)
			mustReplayBatch(t, s, parkedFor(acme, name))
			mustRemind(t, s, key, r, delayed)
			claims := mustClaimReminders(t, s, key, r, delayed, replayed)
			mustSettle(t, s, retry(claims[1], longLease))
			mustRemind(t, s, key, far, reminder("due "+name, name))
		}
		mustApply(t, s, c)
		wantReminders(t, s, key, "after EndReminders")
		for _, name := range someNotifiers() {
			wantNoClaimOf(t, s, name, "after EndReminders")
		}
		wantBacklogs(t, s, "after EndReminders", map[string]counts{})
	}
}

// EndReminders leaves parked reminders, and the activities of the incident and of its own change.
func endRemindersLeavesTheRest(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	for _, name := range []string{"", pager} {
		r := reminder("parked", name)
		mustParkReminder(t, s, key, r)
	}
	mustNotifyTo(t, s, key, "", pager)
	mustRemind(t, s, key, reminder("ended", pager))
	mustApply(t, s, notifyingTo(endingReminders(key), "", pager))
	wantBacklogs(t, s, "after EndReminders", map[string]counts{"": {pending: 2, parked: 1}, pager: {pending: 2, parked: 1}})
	for _, name := range []string{"", pager} {
		mustDrainOf(t, s, anythingOf(name), map[incident.Key][]int64{key: {3, 4}})
		if b := mustReplayBatch(t, s, parkedFor(acme, name)); b.Count != 1 {
			t.Errorf("Replay() after EndReminders = %+v, want one", b)
		}
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, mustParkedAgain(t, s, key, name))))
	}
}

// mustParkedAgain parks the only due reminder of a notifier, replays and returns it.
func mustParkedAgain(t *trial, s incident.OutboxStore, key incident.Key, notifier string) incident.Reminder {
	t.Helper()
	c := mustClaim(t, s, anythingOf(notifier))
	mustSettle(t, s, park(c[0], "no receiver"))
	mustReplayBatch(t, s, parkedFor(key.OrganizationID, notifier))
	return reminded(c[0])
}

// EndReminders ends the reminders of a single incident.
func endRemindersOfOneIncident(t *trial, s incident.OutboxStore) {
	key, second, others := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	r, far := reminder("the same name", mail), reminder("far", "")
	far.At = never
	for _, key := range []incident.Key{key, second, others} {
		mustRemind(t, s, key, far, r)
	}
	mustApply(t, s, endingReminders(key))
	wantReminders(t, s, key, "after EndReminders")
	wantReminders(t, s, second, "after EndReminders of another incident", far, r)
	wantReminders(t, s, others, "after EndReminders of another organization", far, r)
	created := creation(draft(acme))
	created.EndReminders = true
	mustApply(t, s, created)
	wantBacklogs(t, s, "after EndReminders", map[string]counts{"": {reminders: 2}, mail: {pending: 2}})
}

// A change without EndReminders, a change that fails and a replayed change end no reminder.
func endRemindersOfAWriteOnly(t *trial, s incident.OutboxStore) {
	st := mustCreate(t, s, draft(acme))
	key := st.Incident.Key()
	ended := endingReminders(key)
	mustApply(t, s, ended)
	r, far := reminder("kept", pager), reminder("far", "")
	far.At = never
	mustRemind(t, s, key, far, r)
	c := mustClaimReminder(t, s, key, r)
	if !mustApply(t, s, ended).Replayed {
		t.Fatal("Apply() of a known change is not Replayed")
	}
	wantReminders(t, s, key, "after a replayed change with EndReminders", far, r)
	stale := transition(st, incident.StatusClosed)
	stale.EndReminders, stale.ExpectVersion = true, 9
	_, err := s.Apply(t.Context(), stale)
	wantError(t, "Apply() of an old version", err, incident.ErrVersionConflict)
	wantReminders(t, s, key, "after a change that failed", far, r)
	mustApply(t, s, comment(key, "text"))
	mustChange(t, s, transition(st, incident.StatusClosed))
	wantReminders(t, s, key, "after changes without EndReminders", far, r)
	mustSettle(t, s, deliver(c))
	wantReminders(t, s, key, "after one was delivered", far)
}

// Either a reminder is set before the change that ends all, and is ended, or it finds another
// version than expected.
func setReminderComesBeforeTheEndOrFails(t *trial, s incident.OutboxStore) {
	for range 15 {
		st := mustCreate(t, s, draft(acme))
		key := st.Incident.Key()
		closing := transition(st, incident.StatusClosed)
		closing.EndReminders = true
		var mu sync.Mutex // guards conflicts
		conflicts := 0
		t.together(4, func(i int) {
			if i == 0 {
				mustApply(t, s, closing)
				return
			}
			w := incident.ReminderWrite{Key: key, ExpectVersion: 1, Reminder: reminder(fmt.Sprint("number ", i), someNotifiers()[i%3]), Most: everything}
			_, err := s.SetReminder(t.Context(), w)
			if err != nil {
				wantError(t, "SetReminder() during the end", err, incident.ErrVersionConflict)
				mu.Lock()
				defer mu.Unlock()
				conflicts++
			}
		})
		wantReminders(t, s, key, fmt.Sprintf("after EndReminders and %d conflicts", conflicts))
	}
	wantBacklogs(t, s, "after EndReminders", map[string]counts{})
}
