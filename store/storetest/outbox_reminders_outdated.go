package storetest

import (
	"fmt"

	"github.com/incidentkit/incident"
)

// outdatedBy lists the ways to make a claim of a reminder invalid. Each function returns the pending
// reminder after it, or a reminder without a name if there is none.
func outdatedBy(t *trial, s incident.OutboxStore, key incident.Key) map[string]func(r incident.Reminder) incident.Reminder {
	set := func(r incident.Reminder) incident.Reminder {
		mustRemind(t, s, key, r)
		return r
	}
	return map[string]func(r incident.Reminder) incident.Reminder{
		"a later At":    func(r incident.Reminder) incident.Reminder { return set(moved(r, r.At.Add(1000))) },
		"an earlier At": func(r incident.Reminder) incident.Reminder { return set(moved(r, r.At.Add(-1000))) },
		"another Unless": func(r incident.Reminder) incident.Reminder {
			r = moved(r, r.At)
			r.Unless ^= incident.UnlessLowered
			return set(r)
		},
		"another notifier": func(r incident.Reminder) incident.Reminder {
			r = moved(r, r.At)
			r.Notifier = map[string]string{"": mail, mail: pager, pager: ""}[r.Notifier]
			return set(r)
		},
		"another At and the same again": func(r incident.Reminder) incident.Reminder {
			set(moved(r, never))
			return set(moved(r, r.At))
		},
		"CancelReminder": func(r incident.Reminder) incident.Reminder {
			mustCancel(t, s, key, r.Name)
			return incident.Reminder{}
		},
		"CancelReminder and the same again": func(r incident.Reminder) incident.Reminder {
			mustCancel(t, s, key, r.Name)
			return set(moved(r, r.At))
		},
		"EndReminders": func(incident.Reminder) incident.Reminder {
			mustApply(t, s, endingReminders(key))
			return incident.Reminder{}
		},
		"EndReminders and the same again": func(r incident.Reminder) incident.Reminder {
			mustApply(t, s, endingReminders(key))
			return set(moved(r, r.At))
		},
		"Discard": func(r incident.Reminder) incident.Reminder {
			for mustDiscard(t, s, r.Notifier, everything) > 0 {
				continue
			}
			return incident.Reminder{}
		},
	}
}

// outlives checks that a claim of a reminder can no longer be settled after the reminder was
// changed in each of the named ways.
func outlives(names ...string) func(t *trial, s incident.OutboxStore) {
	return func(t *trial, s incident.OutboxStore) {
		for _, notifier := range []string{"", pager} {
			for _, name := range names {
				for outcome, end := range allOutcomes() {
					wantOutdated(t, s, notifier, name, outcome, end)
				}
			}
		}
	}
}

func wantOutdated(
	t *trial, s incident.OutboxStore, notifier, name, outcome string, end func(incident.Claim) incident.Settlement,
) {
	t.Helper()
	key, r := mustQueue(t, s, acme, 0), reminder("moved", notifier)
	mustRemind(t, s, key, r)
	mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), 0))
	old := mustClaimReminder(t, s, key, r)
	next := outdatedBy(t, s, key)[name](r)
	when := fmt.Sprintf("after %s of a claim before %s", outcome, name)
	mustSettle(t, s, end(old))
	if next.Name == "" {
		wantReminders(t, s, key, when)
		wantBacklogs(t, s, when, map[string]counts{})
		for _, other := range someNotifiers() {
			wantNoClaimOf(t, s, other, when)
		}
		return
	}
	wantReminders(t, s, key, when, next)
	c := mustClaimReminder(t, s, key, next)
	if c.Attempt != 1 {
		t.Errorf("%s the attempt is %d, want 1", when, c.Attempt)
	}
	mustSettle(t, s, end(old))
	wantNoClaimOf(t, s, next.Notifier, when)
	wantBacklogs(t, s, when, map[string]counts{next.Notifier: {pending: 1}})
	mustSettle(t, s, deliver(c))
	mustSettle(t, s, end(old))
	wantBacklogs(t, s, "after the delivery of the next", map[string]counts{})
}

// A claim that was settled cannot be settled again after the same reminder was set again.
func setReminderIsNewAfterItsEnd(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		for outcome, end := range allOutcomes() {
			key, r := mustQueue(t, s, acme, 0), reminder("again", notifier)
			mustRemind(t, s, key, r)
			old := mustClaimReminder(t, s, key, r)
			mustSettle(t, s, deliver(old))
			r = moved(r, r.At)
			mustRemind(t, s, key, r)
			c := mustClaimReminder(t, s, key, r)
			mustSettle(t, s, end(old))
			when := "after " + outcome + " of a claim that was delivered"
			wantNoClaimOf(t, s, notifier, when)
			wantBacklogs(t, s, when, map[string]counts{notifier: {pending: 1}})
			mustSettle(t, s, deliver(c))
			wantBacklogs(t, s, "after its delivery", map[string]counts{})
		}
	}
}

// Two claims of a reminder never have the same fence, even if the reminder was set again.
func setReminderKeepsFencesApart(t *trial, s incident.OutboxStore) {
	key, r := mustQueue(t, s, acme, 0), reminder("fenced", pager)
	mustRemind(t, s, key, r)
	fences := map[int64]bool{}
	claim := func() incident.Claim {
		t.Helper()
		c := mustClaimReminder(t, s, key, r)
		if fences[c.Fence] {
			t.Errorf("claim %d has the fence of an earlier claim", len(fences)+1)
		}
		fences[c.Fence] = true
		return c
	}
	for _, at := range []int{1, 2, 1, 3} {
		r = moved(r, t0.AddDate(0, 0, at))
		mustRemind(t, s, key, r)
		claim()
		r.Unless ^= incident.UnlessAcknowledged
		r = moved(r, r.At)
		mustRemind(t, s, key, r)
		mustSettle(t, s, release(claim()))
		mustSettle(t, s, retry(claim(), 0))
	}
	mustSettle(t, s, park(claim(), "no receiver"))
	mustReplayBatch(t, s, parkedFor(acme, pager))
	mustSettle(t, s, retry(claim(), 0))
	claim()
}

// A reminder that is set during its delivery is delivered again at its new time.
func setReminderDuringItsDelivery(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("repeated", notifier)
		mustRemind(t, s, key, r)
		for i := range 3 {
			c := mustClaimReminder(t, s, key, r)
			r = moved(r, t0.AddDate(0, 0, i))
			r.Unless ^= incident.UnlessLowered
			mustRemind(t, s, key, r)
			mustSettle(t, s, deliver(c))
			wantReminders(t, s, key, "after it was set during its delivery", r)
		}
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
		wantNoClaimOf(t, s, notifier, "after the last delivery")
		wantBacklogs(t, s, "after the last delivery", map[string]counts{})
	}
}
