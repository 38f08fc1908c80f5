package storetest

import (
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// Reminders that are not due do not hide due reminders and activities.
func dueReminderStandsOut(t *trial, s incident.OutboxStore) {
	const incidents, each = 3, 100
	var last incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		outbox, err := outboxOf(tx)
		if err != nil {
			return err
		}
		for range incidents {
			last = mustQueue(t, tx, acme, 0)
			for i := range each {
				r := reminder(fmt.Sprintf("number %03d", i), someNotifiers()[i%2])
				r.At = never.Add(-time.Duration(i) * time.Hour)
				mustRemind(t, outbox, last, r)
			}
		}
		return nil
	})
	if n := len(mustReminders(t, s, last)); n != each {
		t.Errorf("Reminders() returns %d, want %d", n, each)
	}
	wantBacklogs(t, s, "with many that are not due", map[string]counts{
		"": {reminders: incidents * each / 2}, mail: {reminders: incidents * each / 2},
	})
	for _, name := range []string{"", mail} {
		wantNoClaimOf(t, s, name, "with none that is due")
		r := reminder("due", name)
		mustCancel(t, s, last, "number 099")
		mustRemind(t, s, last, r)
		mustNotifyTo(t, s, last, name)
		q := anythingOf(name)
		q.Limit, q.PerOrganization = 2, 2
		var kinds [2]int
		for _, c := range mustClaimAll(t, s, q, 2) {
			if c.Reminder == nil {
				kinds[0]++
			} else {
				wantEqual(t, "the claimed reminder", reminded(c), r)
				kinds[1]++
			}
			mustSettle(t, s, deliver(c))
		}
		if kinds != [2]int{1, 1} {
			t.Errorf("Claim() for notifier %q returns %d activities and %d reminders, want one of each", name, kinds[0], kinds[1])
		}
	}
}

// Due reminders count for the limits of a claim, as queues do.
func dueReminderIsLimited(t *trial, s incident.OutboxStore) {
	orgs := []incident.OrganizationID{"a", "b", "c"}
	for _, name := range []string{"", pager} {
		for _, org := range orgs {
			key := mustQueue(t, s, org, 0)
			mustNotifyTo(t, s, key, name)
			mustRemind(t, s, key, reminder("first", name), reminder("second", name), reminder("third", name))
		}
		type perOrganization = map[incident.OrganizationID]int
		total := 0
		for _, step := range []struct {
			limit, each int
			allowances  perOrganization
			except      []incident.OrganizationID
			after       incident.OrganizationID
			want        perOrganization
		}{
			{everything, 1, nil, nil, "b", perOrganization{"c": 1}},
			{everything, 1, perOrganization{"b": 2}, nil, "", perOrganization{"a": 1, "b": 2, "c": 1}},
			{everything, 3, perOrganization{"b": 1}, orgs[:1], "", perOrganization{"b": 1, "c": 2}},
			{everything, everything, nil, nil, "", perOrganization{"a": 3, "b": 1}},
		} {
			q := incident.ClaimQuery{
				Limit: step.limit, PerOrganization: step.each, Allowances: step.allowances, Except: step.except, After: step.after, Lease: longLease,
			}
			q.Notifier = name
			got := perOrganization{}
			for _, c := range mustClaim(t, s, q) {
				got[c.Key.OrganizationID]++
				total++
			}
			for org, n := range step.want {
				if got[org] != n || len(got) != len(step.want) {
					t.Fatalf("Claim(%+v) gets %v, want %v", q, got, step.want)
				}
			}
		}
		if total != 12 {
			t.Errorf("%d queues were claimed, want 12", total)
		}
		wantNoClaimOf(t, s, name, "after all were claimed")
	}
}

// A steady supply of activities does not hold back a due reminder, and the reverse.
func dueReminderTakesTurns(t *trial, s incident.OutboxStore) {
	now := mustClock(t, s)
	for _, name := range []string{"", pager} {
		busy, other := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
		q := incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: longLease}
		q.Notifier = name
		r := reminder("waiting", name)
		mustNotifyTo(t, s, busy, name)
		mustRemind(t, s, other, r)
		delivered := func(isAwaited func(c incident.Claim) bool, more func()) bool {
			for range 20 {
				for _, c := range mustClaim(t, s, q) {
					mustSettle(t, s, deliver(c))
					if isAwaited(c) {
						return true
					}
					more()
				}
			}
			return false
		}
		if !delivered(func(c incident.Claim) bool { return c.Reminder != nil }, func() { mustNotifyTo(t, s, busy, name) }) {
			t.Errorf("for notifier %q activities that were written later are claimed before a due reminder", name)
		}
		mustDrainAny(t, s, name)
		mustNotifyTo(t, s, other, name)
		time.Sleep(2 * now.tolerance) // all reminders are due later than the activity
		n := 0
		again := func() {
			r.At = now.now()
			r.Name = fmt.Sprint("number ", n)
			n++
			mustRemind(t, s, busy, r)
		}
		again()
		if !delivered(func(c incident.Claim) bool { return c.Reminder == nil }, again) {
			t.Errorf("for notifier %q reminders that were due later are claimed before an activity", name)
		}
		mustDrainAny(t, s, name)
	}
}

// mustDrainAny delivers all that is due for a notifier.
func mustDrainAny(t *trial, s incident.OutboxStore, notifier string) {
	t.Helper()
	for start := time.Now(); mustBacklogs(t, s)[notifier].Pending > 0; {
		claims, err := try(t.Context(), s, anythingOf(notifier))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claims {
			mustSettle(t, s, deliver(c))
		}
		if time.Since(start) > t.patience {
			t.Fatalf("Claim() for notifier %q leaves %+v", notifier, mustBacklogs(t, s)[notifier])
		}
	}
}

// Backlog counts reminders that are not due in Reminders. A due reminder is Pending until it is
// delivered or parked, and its age counts from At.
func dueReminderIsPending(t *trial, s incident.OutboxStore) {
	now := mustClock(t, s)
	key := mustQueue(t, s, acme, 0)
	for _, name := range []string{"", pager} {
		far, soon := reminder("far", name), reminder("soon", name)
		far.At, soon.At = never, now.now().Add(shortLease)
		mustRemind(t, s, key, far, soon)
		if now.now().Before(soon.At.Add(-now.tolerance)) {
			before := mustBacklogs(t, s)[name]
			if now.now().Before(soon.At.Add(-now.tolerance)) && before != (incident.Backlog{Reminders: 2}) {
				t.Errorf("before a reminder is due Backlog() is %+v, want 2 reminders", before)
			}
		}
		time.Sleep(shortLease + 2*now.tolerance)
		wantAge := func(when string) {
			t.Helper()
			least := now.now().Sub(soon.At)
			b := mustBacklogs(t, s)[name]
			if most := now.now().Sub(soon.At); b.Oldest < least-now.tolerance || b.Oldest > most+now.tolerance {
				t.Errorf("%s Oldest is %v, want %v to %v", when, b.Oldest, least, most)
			}
			wantBacklogOf(t, s, name, when, counts{pending: 1, reminders: 1})
		}
		wantAge("after a reminder has become due")
		c := mustClaimReminder(t, s, key, soon)
		wantAge("while it is claimed")
		mustSettle(t, s, retry(c, 0))
		wantAge("after it failed")
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, soon), longLease))
		wantAge("while it is delayed")
		soon = moved(soon, never)
		mustRemind(t, s, key, soon)
		wantBacklogOf(t, s, name, "after it was moved", counts{reminders: 2})
		soon = moved(soon, t0)
		mustRemind(t, s, key, soon)
		mustSettle(t, s, park(mustClaimReminder(t, s, key, soon), "no receiver"))
		wantBacklogOf(t, s, name, "after it was parked", counts{parked: 1, reminders: 1})
		mustReplayBatch(t, s, parkedFor(acme, name))
		wantBacklogOf(t, s, name, "after it was replayed", counts{pending: 1, reminders: 1})
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, soon)))
		wantBacklogOf(t, s, name, "after it was delivered", counts{reminders: 1})
		mustCancel(t, s, key, far.Name)
	}
}
