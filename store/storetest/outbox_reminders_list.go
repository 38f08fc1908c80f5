package storetest

import (
	"time"

	"github.com/incidentkit/incident"
)

// Reminders returns the reminders of an incident, of all notifiers, in order of name.
func remindersAreInOrder(t *trial, s incident.OutboxStore) {
	key, other, others := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	wantReminders(t, s, key, "before any was set")
	all := []incident.Reminder{reminder("A", pager), reminder("B", ""), reminder("a", mail), reminder("a ", ""), reminder("é", mail)}
	for i := range all {
		all[i].At = never.Add(-time.Duration(i) * time.Hour)
	}
	mustRemind(t, s, other, moved(all[0], never), reminder("C", mail))
	mustRemind(t, s, others, moved(all[2], never))
	mustRemind(t, s, key, all[3], all[0], all[4], all[2], all[1])
	wantReminders(t, s, key, "after five were set", all...)
	mustCancel(t, s, key, "B")
	wantReminders(t, s, key, "after one was cancelled", all[0], all[2], all[3], all[4])
}

// The caller may overwrite the results.
func remindersAreTheCallersMemory(t *trial, s incident.OutboxStore) {
	key, r, far := mustQueue(t, s, acme, 0), reminder("due", mail), reminder("far", mail)
	far.At = never
	mustRemind(t, s, key, r, far)
	scribble(mustReminders(t, s, key))
	wantReminders(t, s, key, "after the caller overwrote them", r, far)
	c := mustClaimReminder(t, s, key, r)
	back := retry(c, 0)
	scribble([]incident.Claim{c})
	mustSettle(t, s, back)
	wantReminders(t, s, key, "after the caller overwrote a claim", r, far)
	mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
}
