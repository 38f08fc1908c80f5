package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// reminderWrite returns the write of a reminder that is due after a time.
func reminderWrite(inc incident.Incident, notifier, name string, after time.Duration) incident.ReminderWrite {
	return incident.ReminderWrite{
		Key: inc.Key(), ExpectVersion: inc.Version, Most: incident.MaxReminders,
		Reminder: incident.Reminder{
			Name: name, Notifier: notifier, At: time.Now().UTC().Truncate(time.Microsecond).Add(after),
			Unless: incident.UnlessLowered, Status: inc.Status, NotificationUUID: uuid.New(),
		},
	}
}

func mustRemind(t *testing.T, s incident.OutboxStore, w incident.ReminderWrite) {
	t.Helper()
	if ok, err := s.SetReminder(t.Context(), w); err != nil || !ok {
		t.Fatalf("SetReminder = %v, %v", ok, err)
	}
}

// mustClaimReminder claims the only reminder that is due.
func mustClaimReminder(t *testing.T, s *postgres.Store, w incident.ReminderWrite) incident.Claim {
	t.Helper()
	claims := mustClaim(t, s, claimOf(target(w.Reminder.Notifier)))
	if len(claims) != 1 || claims[0].Reminder == nil || *claims[0].Reminder != w.Reminder || claims[0].Key != w.Key ||
		claims[0].Sequence != w.Reminder.At.UnixMicro() || claims[0].Incident.Version != w.ExpectVersion || claims[0].More {
		t.Fatalf("Claim = %+v, want %+v", claims, w.Reminder)
	}
	if age := time.Since(claims[0].Now); age < -time.Minute || age > time.Minute {
		t.Errorf("Now is %v", claims[0].Now)
	}
	return claims[0]
}

func wantNoClaim(t *testing.T, s *postgres.Store, notifier string) {
	t.Helper()
	if claims := mustClaim(t, s, claimOf(target(notifier))); len(claims) > 0 {
		t.Errorf("Claim = %+v, want none", claims)
	}
}

func wantReminders(t *testing.T, s incident.OutboxStore, key incident.Key, want ...incident.Reminder) {
	t.Helper()
	got, err := s.Reminders(t.Context(), key)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(append([]incident.Reminder{}, want...)) {
		t.Errorf("Reminders = %+v, %v, want %+v", got, err, want)
	}
}

// A reminder is moved by name, to another time and another notifier. A ticket from before cannot
// settle it.
func TestStore_setReminder(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	inc := mustOpenIncident(t, s, "acme")
	w := reminderWrite(inc, "", "late", time.Hour)
	mustRemind(t, s, w)
	wantReminders(t, s, inc.Key(), w.Reminder)
	wantNoClaim(t, s, "")
	if b := mustBacklog(t, s)[""]; b != (incident.Backlog{Reminders: 1}) {
		t.Errorf("Backlog = %+v, want a reminder", b)
	}
	same := w
	same.Reminder.NotificationUUID, same.Reminder.Status = uuid.New(), incident.StatusCritical
	mustRemind(t, s, same)
	wantReminders(t, s, inc.Key(), w.Reminder)

	moved := reminderWrite(inc, "mail", "late", -time.Minute)
	mustRemind(t, s, moved)
	wantReminders(t, s, inc.Key(), moved.Reminder)
	wantNoClaim(t, s, "")
	if b := mustBacklog(t, s)["mail"]; b.Pending != 1 || b.Reminders != 0 || b.Oldest < time.Minute {
		t.Errorf("Backlog = %+v, want a pending one from its time", b)
	}
	first := mustClaimReminder(t, s, moved)
	mustRemind(t, s, moved) // the claim stays
	wantNoClaim(t, s, "mail")
	mustSettle(t, s, incident.Settlement{Ticket: first.Ticket, Outcome: incident.OutcomeRetry})
	second := mustClaimReminder(t, s, moved)
	if second.Attempt != 2 {
		t.Errorf("Attempt = %d, want 2", second.Attempt)
	}
	again := reminderWrite(inc, "mail", "late", -time.Second)
	mustRemind(t, s, again)
	mustSettle(t, s, incident.Settlement{Ticket: second.Ticket, Outcome: incident.OutcomeDelivered})
	third := mustClaimReminder(t, s, again)
	if third.Attempt != 1 {
		t.Errorf("Attempt = %d after the reminder was set again, want 1", third.Attempt)
	}

	// Cancelled and set to the same time, it is another reminder.
	if err := s.CancelReminder(t.Context(), inc.Key(), "late"); err != nil {
		t.Fatal(err)
	}
	wantReminders(t, s, inc.Key())
	mustSettle(t, s, incident.Settlement{Ticket: third.Ticket, Outcome: incident.OutcomeRetry})
	wantNoClaim(t, s, "mail")
	mustRemind(t, s, again)
	fourth := mustClaimReminder(t, s, again)
	mustSettle(t, s, incident.Settlement{Ticket: third.Ticket, Outcome: incident.OutcomeDelivered})
	wantReminders(t, s, inc.Key(), again.Reminder)
	mustSettle(t, s, incident.Settlement{Ticket: fourth.Ticket, Outcome: incident.OutcomeDelivered})
	wantReminders(t, s, inc.Key())
	if all := mustBacklog(t, s); len(all) != 0 {
		t.Errorf("at the end Backlog = %+v", all)
	}
}

// A refused SetReminder has the reason, and changes nothing.
func TestStore_setReminderRefused(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	inc := mustOpenIncident(t, s, "acme")
	w := reminderWrite(inc, "", "a", time.Hour)
	other := w
	other.Key.Identifier++
	if ok, err := s.SetReminder(t.Context(), other); ok || !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("SetReminder of an unknown incident = %v, %v", ok, err)
	}
	other = w
	other.ExpectVersion++
	if ok, err := s.SetReminder(t.Context(), other); ok || !errors.Is(err, incident.ErrVersionConflict) {
		t.Errorf("SetReminder of another version = %v, %v", ok, err)
	}
	w.Most = 1
	mustRemind(t, s, w)
	another := reminderWrite(inc, "mail", "b", time.Hour)
	another.Most = 1
	if ok, err := s.SetReminder(t.Context(), another); ok || err != nil {
		t.Errorf("SetReminder beyond the limit = %v, %v", ok, err)
	}
	w.Reminder.At = w.Reminder.At.Add(time.Hour)
	mustRemind(t, s, w)
	wantReminders(t, s, inc.Key(), w.Reminder)
	for name, err := range map[string]error{
		"CancelReminder": s.CancelReminder(t.Context(), other.Key, "nothing"),
		"Reminders":      only(s.Reminders(t.Context(), incident.Key{OrganizationID: "umbrella", Identifier: 1})),
	} {
		if (name == "CancelReminder") != (err == nil) || err != nil && !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s = %v", name, err)
		}
	}
}

// A parked reminder can be replayed. It does not stand in the way of a pending reminder of the
// same name and time.
func TestStore_parkedReminder(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	inc := mustOpenIncident(t, s, "acme")
	w := reminderWrite(inc, "", "late", -time.Second)
	park := func(w incident.ReminderWrite) {
		t.Helper()
		c := mustClaimReminder(t, s, w)
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: "no receiver"})
		parked, err := s.Parked(t.Context(), incident.ParkedQuery{OrganizationID: "acme", Limit: 10})
		if err != nil || len(parked) != 1 || parked[0].Reminder == nil || *parked[0].Reminder != w.Reminder || parked[0].Sequence != 0 ||
			parked[0].NotificationUUID != w.Reminder.NotificationUUID || parked[0].Error != "no receiver" {
			t.Fatalf("Parked = %+v, %v", parked, err)
		}
	}
	mustRemind(t, s, w)
	park(w)
	w.Reminder.NotificationUUID = uuid.New()
	mustRemind(t, s, w)
	park(w)
	b, err := s.Replay(t.Context(), incident.ParkedQuery{OrganizationID: "acme", Limit: 10})
	if err != nil || b != (incident.ParkedBatch{Count: 1, Last: incident.ParkedPosition{Identifier: 1, Reminder: "late", Sequence: w.Reminder.At.UnixMicro()}}) {
		t.Fatalf("Replay = %+v, %v", b, err)
	}
	wantReminders(t, s, inc.Key())
	if c := mustClaimReminder(t, s, w); !c.Replayed || c.Attempt != 1 {
		t.Errorf("the replayed reminder is %+v", c.Ticket)
	}
	if err := s.CancelReminder(t.Context(), inc.Key(), "late"); err != nil {
		t.Fatal(err)
	}
	if all := mustBacklog(t, s); len(all) != 0 {
		t.Errorf("after CancelReminder Backlog = %+v, want none", all)
	}
}

// A reminder that is set, moved or cancelled in a transaction of the host is of that transaction.
func TestStore_remindersOfHostTransaction(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	inc := mustOpenIncident(t, s, "acme")
	kept := reminderWrite(inc, "", "kept", time.Hour)
	mustRemind(t, s, kept)
	moved, added := reminderWrite(inc, "mail", "kept", 2*time.Hour), reminderWrite(inc, "mail", "added", time.Hour)
	for _, commit := range []bool{false, true} {
		tx := s.Pool().MustBegin()
		joined := s.Join(tx)
		mustRemind(t, joined, added)
		mustRemind(t, joined, reminderWrite(inc, "", "gone", time.Hour))
		mustRemind(t, joined, moved)
		if err := joined.CancelReminder(t.Context(), inc.Key(), "gone"); err != nil {
			t.Fatal(err)
		}
		wantReminders(t, joined, inc.Key(), added.Reminder, moved.Reminder)
		wantReminders(t, s, inc.Key(), kept.Reminder)
		if !commit {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			wantReminders(t, s, inc.Key(), kept.Reminder)
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		wantReminders(t, s, inc.Key(), added.Reminder, moved.Reminder)
	}
}

// closing returns the change that closes an incident.
func closing(inc incident.Incident) incident.Change {
	c := incident.Change{Key: inc.Key(), ExpectVersion: inc.Version, StartedBefore: inc.DateStarted, EndReminders: true}
	inc.Version++
	inc.Status = incident.StatusClosed
	inc.DateClosed = new(inc.DateStarted.Add(time.Hour))
	c.Incident = &inc
	c.Activities = []incident.Activity{{Type: typeStatus, Value: incident.StatusClosed, DateAdded: clock(), NotificationUUID: uuid.New()}}
	return c
}

// The change that ends the reminders of an incident also ends the reminder of a transaction that
// commits while the change waits for it.
func TestStore_endsReminderOfConcurrentTransaction(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for _, general := range []bool{false, true} {
		inc := mustOpenIncident(t, s, "acme")
		mustRemind(t, s, reminderWrite(inc, "mail", "before", time.Hour))
		closed := make(chan error, 1)
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustRemind(t, tx.(incident.OutboxStore), reminderWrite(inc, "", "meanwhile", time.Hour))
			go func() {
				c := closing(inc)
				if general {
					c.Activities = append(c.Activities, c.Activities[0])
					c.Activities[1].NotificationUUID = uuid.New()
				}
				closed <- only(s.Apply(t.Context(), c))
			}()
			mustWait(t, func() (waiting bool, err error) {
				err = s.Pool().Get(&waiting, "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database())")
				return waiting, err
			})
			return nil
		})
		if err := errors.Join(err, <-closed); err != nil {
			t.Fatal(err)
		}
		wantReminders(t, s, inc.Key())
		inc.Version++
		if ok, err := s.SetReminder(t.Context(), reminderWrite(inc, "", "later", time.Hour)); err != nil || !ok {
			t.Errorf("SetReminder = %v, %v; the store knows no rule", ok, err)
		}
	}
}

// Reminders end with the incident also if they are set, claimed and settled at the same time.
func TestStore_endsRemindersConcurrently(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for range 20 {
		inc := mustOpenIncident(t, s, "acme")
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					w := reminderWrite(inc, []string{"", "mail"}[n%2], fmt.Sprint("name-", i), -time.Second)
					switch _, err := s.SetReminder(t.Context(), w); {
					case errors.Is(err, incident.ErrVersionConflict):
						return
					case err != nil:
						t.Error(err)
						return
					}
				}
			})
		}
		for _, notifier := range []string{"", "mail"} {
			all.Go(func() {
				for ctx.Err() == nil {
					claims, err := s.Claim(t.Context(), claimOf(target(notifier)))
					for _, c := range claims {
						if err == nil {
							_, err = s.Settle(t.Context(), []incident.Settlement{{Ticket: c.Ticket, Outcome: incident.OutcomeRetry}})
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		if _, err := s.Apply(t.Context(), closing(inc)); err != nil {
			t.Error(err)
		}
		wantReminders(t, s, inc.Key())
		time.Sleep(time.Millisecond)
		cancel()
		all.Wait()
		wantReminders(t, s, inc.Key())
		if all := mustBacklog(t, s); len(all) > 0 {
			t.Fatalf("Backlog = %+v, want none", all)
		}
	}
}

// Neither activities nor reminders for the notifier without a name wait for all of the others.
func TestStore_claimsBothTables(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	const n = 4
	for i := range n {
		inc := mustOpenIncident(t, s, incident.OrganizationID(fmt.Sprint("org-", i%2)))
		mustAppend(t, s, inc.Key(), []incident.NotifyTarget{target("")}, typeComment)
		mustRemind(t, s, reminderWrite(inc, "", "late", -time.Second))
	}
	var kinds []bool
	for range 2 * n {
		claims := mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Minute})
		if len(claims) != 1 {
			t.Fatalf("%d claims after %v, want 1", len(claims), kinds)
		}
		kinds = append(kinds, claims[0].Reminder != nil)
		mustSettle(t, s, incident.Settlement{Ticket: claims[0].Ticket, Outcome: incident.OutcomeDelivered})
	}
	if fmt.Sprint(kinds) != fmt.Sprint([]bool{false, true, false, true, false, true, false, true}) {
		t.Errorf("the claims of reminders are %v, want every second", kinds)
	}
	wantNoClaim(t, s, "")
}
