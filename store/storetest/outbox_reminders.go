package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// Reminders and Claim return every field of a reminder.
func setReminderKeepsEveryField(t *trial, s incident.OutboxStore) {
	key := mustCreate(t, s, ruled(acme, api, db), firing(critical)).Incident.Key()
	mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: "zoe", DateAdded: t0})
	mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: ada, DateAdded: t0})
	var all []incident.Reminder
	for i, unless := range []incident.Unless{0, 1, 2, 3} {
		r := reminder(fmt.Sprintf("reminder %d ▲ 'x'", i), someNotifiers()[i%3])
		r.Unless, r.Status, r.At = unless, incident.Status(1+i%3), never.Add(-time.Duration(i)*time.Microsecond)
		all = append(all, r)
	}
	mustRemind(t, s, key, all...)
	wantReminders(t, s, key, "after four were set", all...)
	for i := range all {
		all[i] = moved(all[i], at(time.Duration(i)*time.Microsecond))
		mustRemind(t, s, key, all[i])
		wantReminders(t, s, key, "after some were moved", all...)
	}
	for i, r := range all {
		if i == 0 {
			mustRemind(t, s, key, moved(all[3], never)) // of the same notifier
		} else if i == 3 {
			mustRemind(t, s, key, r)
		}
		got := mustClaimReminder(t, s, key, r)
		if age := time.Since(got.Now).Abs(); age > time.Hour || got.Now.Location() != time.UTC || got.Now != got.Now.Truncate(time.Microsecond) {
			t.Errorf("Now of a claim is %v, %v from now, want about now, in UTC and whole microseconds", got.Now, age)
		}
		want := incident.Claim{
			Ticket: incident.Ticket{
				Key: key, Notifier: r.Notifier, Reminder: r.Name, Sequence: r.At.UnixMicro(), Fence: got.Fence,
			},
			Reminder: &r, Incident: mustLoad(t, s, key).Incident, Subscribers: []incident.UserID{ada, "zoe"}, Attempt: 1, Now: got.Now,
		}
		wantEqual(t, "the claim of a reminder", got, want)
		wantEqual(t, "the ticket of a reminder", got.Ticket, want.Ticket)
		mustSettle(t, s, deliver(got))
	}
	wantReminders(t, s, key, "after all were delivered")
}

// Names of reminders are compared byte for byte, and ordered by their bytes.
func setReminderComparesNames(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	var all []incident.Reminder
	mustInTx(t, s, func(tx incident.Store) error {
		outbox, err := outboxOf(tx)
		for _, name := range names() {
			if err != nil {
				return err
			}
			all = append(all, reminder(name, mail))
			mustRemind(t, outbox, key, all[len(all)-1])
		}
		return err
	})
	slices.SortFunc(all, func(a, b incident.Reminder) int { return strings.Compare(a.Name, b.Name) })
	wantReminders(t, s, key, "after many were set", all...)
	for _, other := range []string{"acm", "ACMe", "null ", strings.Repeat("n", 253)} {
		mustCancel(t, s, key, other)
	}
	mustCancel(t, s, key, all[0].Name)
	all = all[1:]
	wantReminders(t, s, key, "after one was cancelled", all...)
	for _, c := range mustClaimReminders(t, s, key, all...) {
		mustSettle(t, s, deliver(c))
	}
	wantReminders(t, s, key, "after all were delivered")
}

// A reminder is claimed when the store's clock has passed its At, and not before.
func setReminderIsDueAtItsTime(t *trial, s incident.OutboxStore) {
	now := mustClock(t, s)
	key := mustQueue(t, s, acme, 0)
	for _, name := range []string{"", pager} {
		r := reminder("soon", name)
		r.At = now.now().Add(shortLease)
		far := reminder("far", name)
		far.At = never
		hour := reminder("in an hour", name)
		hour.At = now.now().Add(time.Hour)
		mustRemind(t, s, key, r, far, hour)
		c := mustClaimReminder(t, s, key, r)
		if c.Now.Before(r.At) || now.now().Before(r.At.Add(-now.tolerance)) {
			t.Errorf("a reminder of %v is claimed at %v, and Now is %v", r.At, now.now(), c.Now)
		}
		mustSettle(t, s, deliver(c))
		wantNoClaimOf(t, s, name, "after the only reminder that is due was delivered")
		wantReminders(t, s, key, "after the only reminder that is due was delivered", far, hour)
		mustCancel(t, s, key, far.Name)
		mustCancel(t, s, key, hour.Name)
	}
}

// A reminder with an At in the past is due at once.
func setReminderMayBeInThePast(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	for _, name := range someNotifiers() {
		r := reminder("past", name)
		mustRemind(t, s, key, r)
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
		wantNoClaimOf(t, s, name, "after it was delivered")
	}
}

// Setting a reminder of the same name moves it: earlier, later, to another notifier, or with
// another Unless.
func setReminderMovesIt(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	kept := reminder("kept", pager)
	kept.At = never
	r := reminder("moved", mail)
	r.At = never
	mustRemind(t, s, key, kept, r)
	r = moved(r, never.Add(-time.Hour))
	mustRemind(t, s, key, r)
	wantReminders(t, s, key, "after one was moved", kept, r)
	r = moved(r, t0)
	mustRemind(t, s, key, r)
	mustSettle(t, s, release(mustClaimReminder(t, s, key, r)))
	r = moved(r, never)
	mustRemind(t, s, key, r)
	wantNoClaimOf(t, s, mail, "after it was moved to a later time")
	r = moved(r, t0)
	r.Notifier, r.Unless, r.Status = "", incident.UnlessLowered, incident.StatusCritical
	mustRemind(t, s, key, r)
	wantReminders(t, s, key, "after it was moved to another notifier", kept, r)
	wantNoClaimOf(t, s, mail, "after it was moved to another notifier")
	mustSettle(t, s, release(mustClaimReminder(t, s, key, r)))
	r = moved(r, t0)
	r.Notifier = pager
	mustRemind(t, s, key, r)
	wantNoClaimOf(t, s, "", "after it was moved to another notifier")
	wantBacklogs(t, s, "after it was moved", map[string]counts{pager: {pending: 1, reminders: 1}})
	mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
	wantReminders(t, s, key, "after it was delivered", kept)
}

// Setting a reminder with the same At, Unless and Notifier changes nothing: neither its UUID,
// nor its claim, its attempts and its delay.
func setReminderAgainChangesNothing(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	for _, name := range []string{"", pager} {
		r := reminder("same", name)
		again := func() {
			t.Helper()
			other := moved(r, r.At)
			other.Status = incident.StatusCritical
			mustRemind(t, s, key, other)
			wantReminders(t, s, key, "after the same was set again", r)
		}
		mustRemind(t, s, key, r)
		again()
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), 0))
		again()
		c := mustClaimReminder(t, s, key, r)
		again()
		wantNoClaimOf(t, s, name, "after the same was set during its claim")
		if c.Attempt != 2 {
			t.Errorf("after a failure and the same again the attempt is %d, want 2", c.Attempt)
		}
		mustSettle(t, s, retry(c, longLease))
		again()
		wantNoClaimOf(t, s, name, "after the same was set during its delay")
		mustCancel(t, s, key, r.Name)
		mustRemind(t, s, key, r)
		c = mustClaimReminder(t, s, key, r)
		again()
		mustSettle(t, s, deliver(c))
		wantReminders(t, s, key, "after it was delivered")
	}
}

// An incident has at most Most reminders, of all notifiers. Others can be moved.
func setReminderIsLimited(t *trial, s incident.OutboxStore) {
	key, other := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
	var all []incident.Reminder
	write := func(key incident.Key, r incident.Reminder, most int, want bool) {
		t.Helper()
		w := incident.ReminderWrite{Key: key, ExpectVersion: 1, Reminder: r, Most: most}
		if ok, err := s.SetReminder(t.Context(), w); err != nil || ok != want {
			t.Fatalf("SetReminder(%s, %q) with Most %d = %v, %v, want %v and no error", key, r.Name, most, ok, err, want)
		}
	}
	for i, name := range someNotifiers() {
		r := reminder(fmt.Sprint("number ", i), name)
		write(key, r, 3, true)
		all = append(all, r)
	}
	more := reminder("more", "")
	write(key, more, 3, false)
	write(key, more, 2, false)
	wantReminders(t, s, key, "beyond the limit", all...)
	wantBacklogs(t, s, "beyond the limit", map[string]counts{"": {pending: 1}, mail: {pending: 1}, pager: {pending: 1}})
	all[1] = moved(all[1], never)
	write(key, all[1], 3, true)
	write(other, more, 3, true)
	wantReminders(t, s, key, "after one was moved at the limit", all...)
	c := mustClaimReminder(t, s, key, all[2])
	write(key, more, 3, false)
	mustSettle(t, s, deliver(c))
	write(key, more, 3, true)
	mustCancel(t, s, key, all[0].Name)
	write(key, reminder("the last", mail), 3, true)
	write(key, reminder("beyond", mail), 3, false)
	write(key, reminder("beyond", mail), 4, true)
}

// A reminder is set on the expected version of the incident only.
func setReminderChecksTheVersion(t *trial, s incident.OutboxStore) {
	st := mustCreate(t, s, draft(acme))
	key, r := st.Incident.Key(), reminder("checked", "")
	set := func(version int64, r incident.Reminder) error {
		_, err := s.SetReminder(t.Context(), incident.ReminderWrite{Key: key, ExpectVersion: version, Reminder: r, Most: everything})
		return err
	}
	for _, version := range []int64{0, 2, 9} {
		wantError(t, fmt.Sprint("SetReminder() on version ", version), set(version, r), incident.ErrVersionConflict)
	}
	wantReminders(t, s, key, "after conflicts")
	wantNoClaim(t, s, "after conflicts")
	mustRemind(t, s, key, r)
	mustChange(t, s, retitling(st, "Another title"))
	wantError(t, "SetReminder() on the version before", set(1, moved(r, never)), incident.ErrVersionConflict)
	wantReminders(t, s, key, "after a conflict", r)
	later := moved(r, never)
	if err := set(2, later); err != nil {
		t.Errorf("SetReminder() on the present version = %v, want no error", err)
	}
	wantReminders(t, s, key, "after it was moved", later)
}

func setReminderReturnsErrNotFound(t *trial, s incident.OutboxStore) {
	mustQueue(t, s, acme, 0)
	mustQueue(t, s, umbrella, 0)
	mustQueue(t, s, umbrella, 0)
	for _, unknown := range unknownKeys() {
		ok, err := s.SetReminder(t.Context(), incident.ReminderWrite{Key: unknown, ExpectVersion: 1, Reminder: reminder("lost", ""), Most: everything})
		wantError(t, "SetReminder("+unknown.String()+")", err, incident.ErrNotFound)
		if ok {
			t.Errorf("SetReminder(%s) = true, want false", unknown)
		}
	}
	wantNoClaim(t, s, "after reminders of unknown incidents")
	wantBacklogs(t, s, "after reminders of unknown incidents", map[string]counts{})
}

// Reminders do not change the incident, its activities and its users.
func setReminderLeavesTheIncidentAlone(t *trial, s incident.OutboxStore) {
	w := mustWorld(t, s, acme)
	key := w.key()
	wantUnchanged(t, s, acme, func() {
		r := reminder("soon", mail)
		mustRemind(t, s, key, r)
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, r), 0))
		mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
		mustRemind(t, s, key, moved(r, never))
		mustCancel(t, s, key, r.Name)
		mustReplayBatch(t, s, parkedFor(acme, mail))
		mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
	})
}
