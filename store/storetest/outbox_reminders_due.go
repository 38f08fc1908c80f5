package storetest

import (
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// A reminder that fails is retried after its delay, with the same UUID and At.
func dueReminderIsRetried(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("retried", notifier)
		mustRemind(t, s, key, r)
		for attempt := 1; attempt <= 3; attempt++ {
			c := mustClaimReminder(t, s, key, r)
			if c.Attempt != attempt || c.More || c.Replayed {
				t.Errorf("the claim is %s, want attempt %d", show(c), attempt)
			}
			mustSettle(t, s, release(c))
			c = mustClaimReminder(t, s, key, r)
			begun := time.Now()
			mustSettle(t, s, retry(c, shortLease/2))
			wantReminders(t, s, key, "after a failure", r)
			c = mustClaimReminder(t, s, key, r)
			if since := time.Since(begun); since < shortLease/2-rounding {
				t.Errorf("a delay of %v ended after %v", shortLease/2, since)
			}
			mustSettle(t, s, release(c))
		}
		q := anythingOf(notifier)
		q.Lease = shortLease
		begun := time.Now()
		claims := mustClaim(t, s, q)
		c := mustClaimReminder(t, s, key, r) // after the lease
		if since := time.Since(begun); since < shortLease-rounding {
			t.Errorf("a lease of %v ended after %v", shortLease, since)
		}
		wantNoClaimOf(t, s, notifier, "while it is claimed")
		if c.Attempt != claims[0].Attempt+1 || c.Attempt != 5 {
			t.Errorf("after a lease the attempt is %d, want 5", c.Attempt)
		}
		mustSettle(t, s, deliver(claims[0])) // not valid any more
		wantReminders(t, s, key, "while it is claimed", r)
		mustSettle(t, s, deliver(c))
		wantReminders(t, s, key, "after its delivery")
		wantBacklogs(t, s, "after its delivery", map[string]counts{})
	}
}

// A reminder does not wait for the queue of its incident or for other reminders, and does not delay
// them.
func dueReminderIsAQueueOfItsOwn(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key := mustQueue(t, s, acme, 0)
		mustNotifyTo(t, s, key, notifier)
		mustNotifyTo(t, s, key, notifier)
		activity := mustClaimOneOf(t, s, notifier, key, 3)
		first, second := reminder("first", notifier), reminder("second", notifier)
		mustRemind(t, s, key, first)
		c := mustClaimReminder(t, s, key, first)
		mustRemind(t, s, key, second)
		other := mustClaimReminder(t, s, key, second)
		mustSettle(t, s, retry(c, longLease))
		wantNoClaimOf(t, s, notifier, "with all claimed or delayed")
		for _, wrong := range []incident.Ticket{
			{Reminder: "first", Sequence: activity.Sequence},
			{Reminder: "second", Sequence: activity.Sequence},
			{Sequence: other.Sequence},
		} {
			wrong.Key, wrong.Notifier, wrong.Fence = key, notifier, activity.Fence
			mustSettle(t, s, incident.Settlement{Ticket: wrong, Outcome: incident.OutcomeDelivered})
		}
		wantBacklogOf(t, s, notifier, "after tickets of no queue", counts{pending: 4})
		mustSettle(t, s, deliver(activity))
		activity = mustClaimOneOf(t, s, notifier, key, 4)
		mustSettle(t, s, retry(activity, longLease))
		mustSettle(t, s, deliver(other))
		wantNoClaimOf(t, s, notifier, "while the others are delayed")
		wantReminders(t, s, key, "after one was delivered", first)
		wantBacklogOf(t, s, notifier, "after two deliveries", counts{pending: 2})
	}
}

// A parked reminder has its UUID, its attempts and its error. It is not pending.
func dueReminderIsParked(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("parked", notifier)
		mustRemind(t, s, key, r)
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), 0))
		mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
		wantReminders(t, s, key, "after it was parked")
		wantNoClaimOf(t, s, notifier, "after it was parked")
		got := mustParked(t, s, parkedFor(acme, notifier))
		if len(got) != 1 {
			t.Fatalf("Parked() returns %s, want one", show(got))
		}
		if age := time.Since(got[0].DateParked).Abs(); age > time.Hour {
			t.Errorf("DateParked is %v, %v from now, want about now", got[0].DateParked, age)
		}
		want := incident.ParkedNotification{
			Incident: key, Notifier: notifier, Reminder: &r, NotificationUUID: r.NotificationUUID,
			Attempts: 2, Error: "no receiver", DateParked: got[0].DateParked.Truncate(time.Microsecond).UTC(),
		}
		wantEqual(t, "the parked reminder", got[0], want)
		scribble(got)
		wantEqual(t, "the parked reminder, after the caller overwrote it", mustParked(t, s, parkedFor(acme, notifier))[0], want)
		wantBacklogs(t, s, "after it was parked", map[string]counts{notifier: {parked: 1}})
		mustDiscardParked(t, s, parkedFor(acme, notifier))
	}
}

// A replayed reminder is due at once with its At and UUID, from the first attempt. It can fail,
// be parked again and be delivered.
func dueReminderIsReplayed(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("replayed", notifier)
		mustRemind(t, s, key, r)
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), 0))
		mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
		for range 2 {
			want := incident.ParkedBatch{Count: 1, Last: incident.ParkedPosition{Identifier: key.Identifier, Reminder: r.Name, Sequence: r.At.UnixMicro()}}
			wantEqual(t, "the replayed batch", mustReplayBatch(t, s, parkedFor(acme, notifier)), want)
			wantReminders(t, s, key, "after it was replayed")
			wantPositions(t, s, parkedFor(acme, notifier))
			c := mustClaimReminder(t, s, key, r)
			wantEqual(t, "the ticket of a replayed reminder", c.Ticket, incident.Ticket{
				Key: key, Notifier: notifier, Reminder: r.Name, Sequence: r.At.UnixMicro(), Replayed: true, Fence: c.Fence,
			})
			if c.Attempt != 1 {
				t.Errorf("the attempt of a replayed reminder is %d, want 1", c.Attempt)
			}
			wantNoClaimOf(t, s, notifier, "while the replayed reminder is claimed")
			mustSettle(t, s, retry(c, 0))
			c = mustClaimReminder(t, s, key, r)
			mustSettle(t, s, park(c, "still no receiver"))
			mustSettle(t, s, deliver(c)) // not valid any more
			if p := mustParked(t, s, parkedFor(acme, notifier)); len(p) != 1 || p[0].Attempts != 2 || p[0].Error != "still no receiver" {
				t.Errorf("after parking again Parked() = %s, want one with 2 attempts and the last error", show(p))
			}
		}
		mustReplayBatch(t, s, parkedFor(acme, notifier))
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
		wantBacklogs(t, s, "after the replayed reminder was delivered", map[string]counts{})
	}
}

// Several reminders of a name can be parked and replayed beside a pending reminder.
func dueReminderStandsBesideParked(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key := mustQueue(t, s, acme, 0)
		first := reminder("the same name", notifier)
		second, third := moved(first, t0.AddDate(0, 0, -1)), moved(first, t0.AddDate(0, 0, 1))
		mustParkReminder(t, s, key, first)
		mustParkReminder(t, s, key, second)
		at := func(r incident.Reminder) incident.ParkedPosition {
			return incident.ParkedPosition{Identifier: key.Identifier, Reminder: r.Name, Sequence: r.At.UnixMicro()}
		}
		wantPositions(t, s, parkedFor(acme, notifier), at(second), at(first))
		mustRemind(t, s, key, third)
		if b := mustReplayBatch(t, s, parkedFor(acme, notifier)); b.Count != 2 || b.Last != at(first) {
			t.Errorf("Replay() of two reminders of a name = %+v, want both", b)
		}
		wantReminders(t, s, key, "beside two replayed reminders", third)
		claims := mustClaimReminders(t, s, key, first, second, third)
		mustSettle(t, s, deliver(claims[1]))
		mustSettle(t, s, park(claims[2], "no receiver"), retry(claims[0], 0))
		wantReminders(t, s, key, "after it was parked")
		wantPositions(t, s, parkedFor(acme, notifier), at(third))
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, first)))
		wantBacklogs(t, s, "after deliveries", map[string]counts{notifier: {parked: 1}})
		mustDiscardParked(t, s, parkedFor(acme, notifier))
	}
}

// A reminder with the name and the At of a parked reminder can be set and parked too. The store may
// keep either of the two.
func dueReminderMayBeParkedTwice(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("twice", notifier)
		for _, between := range []func(){
			func() {},
			func() { mustReplayBatch(t, s, parkedFor(acme, notifier)) },
			func() {
				mustReplayBatch(t, s, parkedFor(acme, notifier))
				mustClaim(t, s, anythingOf(notifier))
			},
		} {
			mustParkReminder(t, s, key, r)
			between()
			r = moved(r, r.At)
			mustRemind(t, s, key, r)
			var last incident.Reminder
			for done := false; !done; {
				for _, c := range mustClaim(t, s, anythingOf(notifier)) {
					last = reminded(c)
					done = done || last == r
					mustSettle(t, s, park(c, "no receiver"))
				}
			}
			parked := mustParked(t, s, parkedFor(acme, notifier))
			if !slices.ContainsFunc(parked, func(p incident.ParkedNotification) bool {
				return p.NotificationUUID == last.NotificationUUID || p.NotificationUUID == r.NotificationUUID
			}) {
				t.Fatalf("Parked() = %s lacks the reminders that were parked last, %s and %s", show(parked), r.NotificationUUID, last.NotificationUUID)
			}
			if b := mustBacklogs(t, s)[notifier]; b.Parked != int64(len(parked)) {
				t.Errorf("Backlog() counts %d parked, and Parked() returns %d", b.Parked, len(parked))
			}
			if b := mustReplayBatch(t, s, parkedFor(acme, notifier)); b.Count != len(parked) {
				t.Errorf("Replay() = %+v, want %d", b, len(parked))
			}
			for last = (incident.Reminder{}); last.NotificationUUID != parked[0].NotificationUUID; {
				for _, c := range mustClaim(t, s, anythingOf(notifier)) {
					last = reminded(c)
					mustSettle(t, s, deliver(c))
				}
			}
			for mustDiscard(t, s, notifier, everything) > 0 {
				continue
			}
			wantBacklogs(t, s, "after Discard()", map[string]counts{})
		}
	}
}
