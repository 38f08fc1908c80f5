package incident_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// mustReminders returns the pending reminders of an incident.
func mustReminders(t *testing.T, m incident.Manager, key incident.Key) []incident.Reminder {
	t.Helper()
	all, err := m.Reminders(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if all == nil {
		t.Error("the list of reminders is nil")
	}
	return all
}

func closeIncident(ctx context.Context, m incident.Manager, key incident.Key) error {
	return second(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed}))
}

func reopen(ctx context.Context, m incident.Manager, key incident.Key) error {
	return second(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen}))
}

// wantRefusal fails the test unless err refuses a field.
func wantRefusal(t *testing.T, what string, err error, field string) {
	t.Helper()
	var f *incident.FieldError
	if !errors.As(err, &f) || f.Field != field {
		t.Errorf("%s: %v, want a refusal of %s", what, err, field)
	}
}

// Remind sets the status and the UUID itself. The time is canonical.
func TestRemind_setsFields(t *testing.T) {
	m, _ := fixture(t)
	at := tomorrow().Add(999).In(time.FixedZone("", 3600))
	forged := uuid.New()
	if err := remind(func(r *incident.Reminder) { r.At, r.Status, r.NotificationUUID = at, incident.StatusCritical, forged })(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all := mustReminders(t, m, key)
	want := incident.Reminder{Name: "escalate", At: at.UTC().Truncate(time.Microsecond), Status: incident.StatusOpen, NotificationUUID: all[0].NotificationUUID}
	if len(all) != 1 || all[0] != want || want.NotificationUUID == forged || want.NotificationUUID == uuid.Nil {
		t.Errorf("the reminders are %+v, want %+v with a new UUID", all, want)
	}
}

// A reminder goes to the notifier that it names, or to the notifier that is meant without a name.
func TestRemind_choosesTheNotifier(t *testing.T) {
	for _, c := range []struct {
		unnamed bool
		names   []string
		asked   string
		want    string
		refused bool
	}{
		{unnamed: true, want: ""},
		{unnamed: true, names: []string{"mail", "pager"}, want: ""},
		{unnamed: true, names: []string{"mail", "pager"}, asked: "pager", want: "pager"},
		{names: []string{"pager"}, want: "pager"},
		{names: []string{"pager"}, asked: "pager", want: "pager"},
		{names: []string{"mail", "pager"}, asked: "mail", want: "mail"},
		{names: []string{"mail", "pager"}, refused: true},
		{names: []string{"pager"}, asked: "mail", refused: true},
		{unnamed: true, asked: "mail", refused: true},
		{refused: true},
		{asked: "mail", refused: true},
	} {
		opts := incident.Options{Notifiers: elsewhere(c.names...)}
		if c.unnamed {
			opts.Notifier = incident.NotifyElsewhere
		}
		m, err := incident.New(memory.New(), &opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		err = remind(func(r *incident.Reminder) { r.Notifier = c.asked })(t.Context(), m)
		if c.refused {
			wantRefusal(t, fmt.Sprintf("%+v", c), err, "notifier")
			continue
		}
		if all := mustReminders(t, m, key); err != nil || len(all) != 1 || all[0].Notifier != c.want {
			t.Errorf("%+v: the reminders are %+v, %v", c, all, err)
		}
	}
}

// Setting the same reminder again changes nothing, and any other reminder of the name replaces it.
func TestRemind_repeats(t *testing.T) {
	m, err := incident.New(memory.New(), &incident.Options{Notifier: incident.NotifyElsewhere, Notifiers: elsewhere("mail")})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	set := incident.Reminder{Name: "escalate", At: tomorrow()}
	seen := map[uuid.UUID]bool{}
	for i, change := range []func(){
		func() {},
		func() { set.At = set.At.Add(time.Microsecond) },
		func() { set.At = set.At.Add(-time.Hour) },
		func() { set.Unless = incident.UnlessAcknowledged },
		func() { set.Notifier = "mail" },
		func() { set.Name = "Escalate" },
	} {
		change()
		var last incident.Reminder
		for range 2 {
			if err := m.Remind(t.Context(), key, set); err != nil {
				t.Fatal(err)
			}
			all := mustReminders(t, m, key)
			got := all[0] // upper case is first
			if last.Name != "" && got != last || !got.At.Equal(set.At.Truncate(time.Microsecond)) || got.Unless != set.Unless || got.Notifier != set.Notifier {
				t.Errorf("after change %d the reminder is %+v, want %+v", i, got, set)
			}
			last = got
		}
		if seen[last.NotificationUUID] {
			t.Errorf("after change %d the UUID is that of another reminder", i)
		}
		seen[last.NotificationUUID] = true
		if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: []incident.Status{incident.StatusWarning, incident.StatusCritical}[i%2]}); err != nil {
			t.Fatal(err)
		}
	}
	if all := mustReminders(t, m, key); len(all) != 2 {
		t.Errorf("the reminders are %+v, want two", all)
	}
	for range 2 {
		if err := m.CancelReminder(t.Context(), key, "escalate"); err != nil {
			t.Error(err)
		}
	}
	if all := mustReminders(t, m, key); len(all) != 1 || all[0].Name != "Escalate" {
		t.Errorf("after the cancellation of the other, the reminders are %+v", all)
	}
}

// A transaction that is refused a reminder beyond the limit continues, and can move another.
func TestRemind_isLimitedInTransaction(t *testing.T) {
	m, _ := fixture(t)
	for i := range incident.MaxReminders {
		if err := remind(func(r *incident.Reminder) { r.Name = fmt.Sprint(i) })(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		wantRefusal(t, "one too many", remind(func(*incident.Reminder) {})(t.Context(), tx), "reminder")
		return remind(func(r *incident.Reminder) { r.Name, r.At = "7", r.At.Add(time.Hour) })(t.Context(), tx)
	})
	if err != nil {
		t.Errorf("moving a reminder in a transaction: %v", err)
	}
	all := mustReminders(t, m, key)
	if len(all) != incident.MaxReminders || !slices.IsSortedFunc(all, func(a, b incident.Reminder) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("there are %d reminders, not all in order", len(all))
	}
}

// Every way to close an incident ends its reminders, and none can be set on a closed incident.
func TestRemind_endsWithTheIncident(t *testing.T) {
	for name, over := range map[string]func(ctx context.Context, m incident.Manager) error{
		"UpdateStatus": func(ctx context.Context, m incident.Manager) error { return closeIncident(ctx, m, key) },
		"UpdateStatusAll": func(ctx context.Context, m incident.Manager) error {
			return firstError(m.UpdateStatusAll(ctx, []incident.Key{key}, incident.StatusUpdate{Status: incident.StatusClosed}))
		},
		"Resolve": func(ctx context.Context, m incident.Manager) error {
			return second(m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "5%"}))
		},
		"MarkDuplicate": func(ctx context.Context, m incident.Manager) error {
			return second(m.MarkDuplicate(ctx, key, incident.Duplicate{Of: 2}))
		},
		"in a transaction": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				if err := closeIncident(ctx, tx, key); err != nil {
					return err
				}
				wantRefusal(t, "after closing in the transaction", remind(func(*incident.Reminder) {})(ctx, tx), "incident")
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := incident.New(memory.New(), &incident.Options{Notifier: incident.NotifyElsewhere})
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []func(context.Context, incident.Manager) error{
				fire(func(*incident.Firing) {}),
				create(func(*incident.NewIncident) {}),
				remind(func(*incident.Reminder) {}),
				remind(func(r *incident.Reminder) { r.Name = "other" }),
				func(ctx context.Context, m incident.Manager) error {
					return m.Remind(ctx, incident.Key{OrganizationID: "acme", Identifier: 2}, incident.Reminder{Name: "stays", At: tomorrow()})
				},
				over,
			} {
				if err := call(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			if all := mustReminders(t, m, key); len(all) != 0 {
				t.Errorf("a closed incident has %+v", all)
			}
			if all := mustReminders(t, m, incident.Key{OrganizationID: "acme", Identifier: 2}); len(all) != 1 {
				t.Errorf("the other incident has %+v", all)
			}
			wantRefusal(t, "of a closed incident", remind(func(*incident.Reminder) {})(t.Context(), m), "incident")
			if err := m.CancelReminder(t.Context(), key, "escalate"); err != nil {
				t.Errorf("CancelReminder of a closed incident: %v", err)
			}
		})
	}
}

// In a transaction, the state that it has written decides. A rollback undoes everything.
func TestRemind_inTransaction(t *testing.T) {
	m, _ := fixture(t)
	undone := errors.New("undone")
	ctx := t.Context()
	err := m.InTx(ctx, func(tx incident.Manager) error {
		inc, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			return err
		}
		if err := tx.Remind(ctx, inc.Key(), incident.Reminder{Name: "new", At: tomorrow()}); err != nil {
			return err
		}
		if all := mustReminders(t, tx, inc.Key()); len(all) != 1 || all[0].Name != "new" {
			t.Errorf("the transaction sees %+v", all)
		}
		if err := closeIncident(ctx, tx, key); err != nil {
			return err
		}
		if err := reopen(ctx, tx, key); err != nil {
			return err
		}
		return remind(func(*incident.Reminder) {})(ctx, tx)
	})
	created := incident.Key{OrganizationID: "acme", Identifier: 2}
	if all := append(mustReminders(t, m, created), mustReminders(t, m, key)...); err != nil || len(all) != 2 {
		t.Fatalf("after the commit, %v, the reminders are %+v", err, all)
	}
	for name, fn := range map[string]func(tx incident.Manager) error{
		"closing":      func(tx incident.Manager) error { return closeIncident(ctx, tx, key) },
		"moving":       remindWith(ctx, func(r *incident.Reminder) { r.At = r.At.Add(time.Hour) }),
		"adding":       remindWith(ctx, func(r *incident.Reminder) { r.Name = "other" }),
		"cancellation": func(tx incident.Manager) error { return tx.CancelReminder(ctx, key, "escalate") },
	} {
		before := mustReminders(t, m, key)
		err := m.InTx(ctx, func(tx incident.Manager) error {
			if err := fn(tx); err != nil {
				return err
			}
			if slices.Equal(mustReminders(t, tx, key), before) {
				t.Errorf("%s changes nothing in its transaction", name)
			}
			return undone
		})
		if after := mustReminders(t, m, key); !errors.Is(err, undone) || !slices.Equal(after, before) {
			t.Errorf("after the rollback of %s, %v, the reminders are %+v, want %+v", name, err, after, before)
		}
	}
}

func remindWith(ctx context.Context, change func(*incident.Reminder)) func(incident.Manager) error {
	return func(m incident.Manager) error { return remind(change)(ctx, m) }
}
