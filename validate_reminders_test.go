package incident_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// notificationInputs returns the calls for notifications with bad parameters.
func notificationInputs() []badInput {
	var all []badInput
	add := func(name, field string, call func(context.Context, incident.Manager) error) {
		all = append(all, badInput{name, field, call})
	}
	unparks := map[string]func(incident.Manager, context.Context, incident.ParkedSelection) (int, error){
		"replayed": incident.Manager.Replay, "discarded": incident.Manager.DiscardParked,
	}
	for verb, unpark := range unparks {
		with := func(s incident.ParkedSelection) func(context.Context, incident.Manager) error {
			return func(ctx context.Context, m incident.Manager) error { return only(unpark(m, ctx, s)) }
		}
		for kind, id := range badIDs {
			add(verb+" organization "+kind, "organizationId", with(incident.ParkedSelection{OrganizationID: incident.OrganizationID(id)}))
			if id != "" {
				add(verb+" notifier "+kind, "notifier", with(incident.ParkedSelection{OrganizationID: "acme", Notifier: id}))
			}
		}
		add(verb+" identifier -1", "identifier", with(incident.ParkedSelection{OrganizationID: "acme", Identifier: -1}))
	}
	for kind, id := range badIDs {
		if id == "" {
			continue // the notifier without a name
		}
		add("parked notifier "+kind, "notifier", parked(func(f *incident.ParkedFilter) { f.Notifier = id }))
		add("discarded notifier "+kind, "notifier", func(ctx context.Context, m incident.Manager) error { return only(m.Discard(ctx, id)) })
	}
	add("parked identifier -1", "identifier", parked(func(f *incident.ParkedFilter) { f.Identifier = -1 }))
	add("discarded notifier in use", "notifier", func(ctx context.Context, m incident.Manager) error { return only(m.Discard(ctx, "")) })
	add("discard in a transaction", "tx", func(ctx context.Context, m incident.Manager) error {
		return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Discard(ctx, "a notifier of the past")) })
	})
	return all
}

// reminderInputs returns the calls for reminders with bad parameters.
func reminderInputs(t *testing.T) []badInput {
	t.Helper()
	var all []badInput
	add := func(name, field string, call func(context.Context, incident.Manager) error) {
		all = append(all, badInput{name, field, call})
	}
	for kind, id := range badIDs {
		add("reminder "+kind, "name", remind(func(r *incident.Reminder) { r.Name = id }))
		add("cancelled reminder "+kind, "name", func(ctx context.Context, m incident.Manager) error { return m.CancelReminder(ctx, key, id) })
		if id != "" {
			add("reminding notifier "+kind, "notifier", remind(func(r *incident.Reminder) { r.Notifier = id }))
		}
	}
	for kind, at := range map[string]time.Time{
		"zero":                   {},
		"now":                    now,
		"within the microsecond": now.Add(999),
		"in the past":            now.Add(-time.Microsecond),
		"in 1969":                time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"in year 10000":          time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"in year 10000 by UTC":   time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("west", -3600)),
		"in year -1":             time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"1<<62 seconds":          time.Unix(1<<62, 0),
		"max seconds":            time.Unix(math.MaxInt64, math.MaxInt64),
		"min seconds":            time.Unix(math.MinInt64, 0),
	} {
		add("reminder "+kind, "at", remind(func(r *incident.Reminder) { r.At = at }))
	}
	for _, unless := range []incident.Unless{4, 5, 7, 1 << 20, -1, math.MaxInt, math.MinInt} {
		add(fmt.Sprintf("reminder unless %d", unless), "unless", remind(func(r *incident.Reminder) { r.Unless = unless }))
	}
	add("reminder of an unknown notifier", "notifier", remind(func(r *incident.Reminder) { r.Notifier = "pager" }))
	for notifiers, o := range map[string]*incident.Options{
		"no notifier": nil,
		"two notifiers": {Notifiers: map[string]incident.NamedNotifier{
			"mail": {Notifier: incident.NotifyElsewhere}, "pager": {Notifier: incident.NotifyElsewhere},
		}},
	} {
		other, err := incident.New(memory.New(), o)
		if err != nil {
			t.Fatal(err)
		}
		add("reminder with "+notifiers, "notifier", func(ctx context.Context, _ incident.Manager) error {
			return other.Remind(ctx, key, incident.Reminder{Name: "escalate", At: time.Now().Add(time.Hour)})
		})
	}
	return all
}

// reminderLimits are calls at the limits, which must be accepted.
var reminderLimits = map[string]func(context.Context, incident.Manager) error{
	"a reminder name of 255 bytes":     remind(func(r *incident.Reminder) { r.Name = long[1:] }),
	"a reminder in a microsecond":      remind(func(r *incident.Reminder) { r.At = now.Add(time.Microsecond) }),
	"a reminder in the year 9999":      remind(func(r *incident.Reminder) { r.At = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
	"a reminder with all conditions":   remind(func(r *incident.Reminder) { r.Unless = incident.UnlessAcknowledged | incident.UnlessLowered }),
	"a cancelled reminder of no name":  func(ctx context.Context, m incident.Manager) error { return m.CancelReminder(ctx, key, "unknown") },
	"a discard of an unknown notifier": func(ctx context.Context, m incident.Manager) error { return only(m.Discard(ctx, long[1:])) },
}

func TestManager_Remind_refusesMoreThanMaxReminders(t *testing.T) {
	m, _ := fixture(t)
	attempt := func(name string) error {
		return remind(func(r *incident.Reminder) { r.Name = name })(t.Context(), m)
	}
	const attempts = 10_000
	set := 0
	for i := range attempts {
		err := attempt(fmt.Sprintf("%05d", i))
		var field *incident.FieldError
		switch {
		case err == nil:
			set++
		case !errors.As(err, &field) || field.Field != "reminder":
			t.Fatalf("Remind() number %d = %v, want a FieldError of the reminder", i, err)
		}
	}
	all, err := m.Reminders(t.Context(), key)
	if err != nil || set != incident.MaxReminders || len(all) != set || all[0].Name != "00000" || all[set-1].Name != "00099" {
		t.Fatalf("%d of %d reminders were set, and %d are pending, %v; want the first %d", set, attempts, len(all), err, incident.MaxReminders)
	}
	moved := remind(func(r *incident.Reminder) { r.Name, r.At = "00007", now.Add(2*time.Hour) })
	if err := moved(t.Context(), m); err != nil {
		t.Errorf("moving one of the most reminders: %v", err)
	}
	other := incident.Key{OrganizationID: "globex", Identifier: 1}
	if err := m.Remind(t.Context(), other, incident.Reminder{Name: "00000", At: now.Add(time.Hour)}); err != nil {
		t.Errorf("a reminder of another incident: %v", err)
	}
	if err := m.CancelReminder(t.Context(), key, "00050"); err != nil {
		t.Fatal(err)
	}
	if err := attempt("00100"); err != nil {
		t.Errorf("after one was cancelled: %v", err)
	}
}

// A closed incident has no reminders, and a reopened incident does not get them back.
func TestManager_Remind_refusesClosedIncident(t *testing.T) {
	m, store := fixture(t)
	if err := remind(func(*incident.Reminder) {})(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if all, err := m.Reminders(t.Context(), key); err != nil || len(all) != 1 || all[0].Status != incident.StatusOpen {
		t.Fatalf("Reminders() = %+v, %v, want one with status Open", all, err)
	}
	for _, status := range []incident.Status{incident.StatusClosed, incident.StatusOpen} {
		if err := update(func(u *incident.StatusUpdate) { u.Status = status })(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if all, err := m.Reminders(t.Context(), key); err != nil || len(all) != 0 || all == nil {
			t.Errorf("after %v Reminders() = %+v, %v, want an empty list", status, all, err)
		}
		before := snapshot(t, store)
		err := remind(func(*incident.Reminder) {})(t.Context(), m)
		var field *incident.FieldError
		if closed := status == incident.StatusClosed; closed != (errors.As(err, &field) && field.Field == "incident") || !closed && err != nil {
			t.Errorf("Remind() after %v = %v", status, err)
		}
		if status == incident.StatusClosed && !reflect.DeepEqual(snapshot(t, store), before) {
			t.Error("a refused Remind() changed something")
		}
	}
}
