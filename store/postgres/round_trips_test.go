package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

var (
	apiSlot = incident.Slot{OrganizationID: "acme", AlertRuleID: "latency", ProjectID: "api", QueryID: "p99"}
	firing  = incident.Firing{Slot: apiSlot, TriggerID: "warning", Severity: incident.StatusWarning, Title: "Slow"}
)

func with(f incident.Firing, rule string) incident.Firing {
	f.AlertRuleID = incident.AlertRuleID(rule)
	return f
}

// behindProxy returns a store with a single connection through a proxy.
func behindProxy(t *testing.T, opts *postgres.Options) (*pgtest.Proxy, *postgres.Store) {
	t.Helper()
	url := pgtest.NewDatabase(t)
	mustMigrate(t, mustOpen(t, url, 1), opts)
	p := pgtest.NewProxy(t, url)
	return p, mustNew(t, mustOpen(t, p.URL(), 1), opts)
}

// operation is a call of a Manager and the round trips that it may take. Its preparations
// do not count.
type operation struct {
	name    string
	trips   int
	prepare func(ctx context.Context, m incident.Manager) (incident.Result, error)
	call    func(ctx context.Context, m incident.Manager, key incident.Key) error
}

func fires(rule string) func(context.Context, incident.Manager) (incident.Result, error) {
	return func(ctx context.Context, m incident.Manager) (incident.Result, error) {
		return m.Fire(ctx, with(firing, rule))
	}
}

// assigns opens an incident and assigns it.
func assigns(rule string) func(context.Context, incident.Manager) (incident.Result, error) {
	return func(ctx context.Context, m incident.Manager) (incident.Result, error) {
		r, err := m.Fire(ctx, with(firing, rule))
		if err == nil {
			r, err = m.Assign(ctx, r.Key(), incident.Assignment{Assignee: "bob"})
		}
		return r, err
	}
}

func only[T any](_ T, err error) error { return err }

// operations returns operations on incidents of the given rule, so that each can be
// repeated with another rule.
func operations(rule string) []operation {
	f := with(firing, rule)
	second := f
	second.TriggerID, second.Severity = "critical", incident.StatusCritical
	nothing := func(context.Context, incident.Manager) (incident.Result, error) { return incident.Result{}, nil }
	return []operation{
		{"Create", 1, nothing, func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down", Projects: []incident.ProjectID{"api"}}))
		}},
		{"Fire that opens", 2, nothing, func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Fire(ctx, f))
		}},
		{"Fire that changes nothing", 1, fires(rule), func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Fire(ctx, f))
		}},
		{"Fire that changes something", 2, fires(rule), func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Fire(ctx, second))
		}},
		{"UpdateStatus", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen, UserID: "ada"}))
		}},
		{"Acknowledge", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "ada"}))
		}},
		{"Assign", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Assign(ctx, key, incident.Assignment{UserID: "ada", Assignee: "bob"}))
		}},
		{"Assign to another", 2, assigns(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Assign(ctx, key, incident.Assignment{UserID: "ada", Assignee: "ada"}))
		}},
		{"Edit", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Edit(ctx, key, incident.Edit{Title: "Slow since the deploy"}))
		}},
		{"Edit of the start and a label", 2, assigns(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Edit(ctx, key, incident.Edit{
				DateStarted: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Labels: labels("team", "payments"),
			}))
		}},
		{"LinkProject", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.LinkProject(ctx, key, "web"))
		}},
		{"Comment", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Hm"}))
		}},
		{"EditComment", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.EditComment(ctx, key, incident.CommentEdit{Sequence: 4, UserID: "ada", Comment: "Ah"}))
		}},
		{"MarkSeen", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.MarkSeen(ctx, key, "ada"))
		}},
		{"SeenBy", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.SeenBy(ctx, key))
		}},
		{"Subscribe", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Subscribe(ctx, key, "bob"))
		}},
		{"Unsubscribe", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Unsubscribe(ctx, key, "bob")
		}},
		{"Subscribers", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Subscribers(ctx, key))
		}},
		{"Get", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Get(ctx, key))
		}},
		{"Details", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Details(ctx, key, "ada"))
		}},
		{"Activities", 1, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Activities(ctx, key, incident.ActivityFilter{}))
		}},
		{"List", 1, nothing, func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme", Projects: []incident.ProjectID{"api"}}))
		}},
		{"List by label", 1, nothing, func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme", Labels: labels("team", "payments"), Assignee: "ada"}))
		}},
		{"Count", 1, nothing, func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Count(ctx, incident.IncidentFilter{OrganizationID: "acme", Projects: []incident.ProjectID{"api"}}))
		}},
		{"Resolve", 2, fires(rule), func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return only(m.Resolve(ctx, incident.Resolution{Slot: f.Slot, TriggerID: "warning"}))
		}},
	}
}

// reminds opens an incident and sets a reminder.
func reminds(rule string) func(context.Context, incident.Manager) (incident.Result, error) {
	return func(ctx context.Context, m incident.Manager) (incident.Result, error) {
		r, err := m.Fire(ctx, with(firing, rule))
		if err == nil {
			err = m.Remind(ctx, r.Key(), incident.Reminder{Name: "late", At: inYears})
		}
		return r, err
	}
}

// reminderOperations are operations of a Manager with a notifier.
func reminderOperations(rule string) []operation {
	return []operation{
		{"Remind", 2, fires(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Remind(ctx, key, incident.Reminder{Name: "late", At: inYears})
		}},
		{"Remind again", 2, reminds(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Remind(ctx, key, incident.Reminder{Name: "late", At: inYears})
		}},
		{"Reminders", 1, reminds(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Reminders(ctx, key))
		}},
		{"CancelReminder", 1, reminds(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.CancelReminder(ctx, key, "late")
		}},
		{"UpdateStatus that closes", 2, reminds(rule), func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: "ada"}))
		}},
	}
}

// A call takes the fewest possible round trips, once its statements are prepared.
func TestStore_roundTrips(t *testing.T) {
	t.Parallel()
	p, s := behindProxy(t, nil)
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkTrips(t, p, m, nil, operations)
}

// Queuing activities for delivery takes no additional round trip, whatever the number of
// notifiers.
func TestStore_roundTripsQueued(t *testing.T) {
	t.Parallel()
	named := incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	for n, o := range []incident.Options{
		{Notifier: named.Notifier},
		{Notifier: named.Notifier, Notifiers: map[string]incident.NamedNotifier{"mail": named, "pager": named}},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			p, s := behindProxy(t, nil)
			m, err := incident.New(s, &o)
			if err != nil {
				t.Fatal(err)
			}
			checkTrips(t, p, m, nil, operations, reminderOperations)
		})
	}
}

// With SingleProcess, cached incidents are not loaded.
func TestStore_roundTripsCached(t *testing.T) {
	t.Parallel()
	p, s := behindProxy(t, &postgres.Options{SingleProcess: true})
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkTrips(t, p, m, map[string]int{
		"Get": 0, "Fire that opens": 1, "UpdateStatus": 1, "LinkProject": 1, "Fire that changes something": 1, "Resolve": 1,
		"Acknowledge": 1, "Assign": 1, "Assign to another": 1, "Edit": 1, "Edit of the start and a label": 1,
	}, operations)
}

func checkTrips(t *testing.T, p *pgtest.Proxy, m incident.Manager, cached map[string]int, lists ...func(rule string) []operation) {
	t.Helper()
	ctx := t.Context()
	all := func(rule string) (all []operation) {
		for _, list := range lists {
			all = append(all, list(rule)...)
		}
		return all
	}
	for _, op := range all("warming up") {
		run(ctx, t, p, m, op)
		closeSlot(ctx, t, m, "warming up")
	}
	for _, op := range all("measured") {
		want := op.trips
		if n, ok := cached[op.name]; ok {
			want = n
		}
		if got := run(ctx, t, p, m, op); got != want {
			t.Errorf("%s takes %d round trips, want %d", op.name, got, want)
		}
		closeSlot(ctx, t, m, "measured")
	}
}

// run makes a call and returns the number of its round trips.
func run(ctx context.Context, t *testing.T, p *pgtest.Proxy, m incident.Manager, op operation) int {
	t.Helper()
	r, err := op.prepare(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if op.name == "EditComment" {
		if _, err := m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"}); err != nil {
			t.Fatal(err)
		}
	}
	before := p.RoundTrips()
	if err := op.call(ctx, m, r.Key()); err != nil {
		t.Fatalf("%s: %v", op.name, err)
	}
	return p.RoundTrips() - before
}

// closeSlot closes the active incident in the slot of a rule.
func closeSlot(ctx context.Context, t *testing.T, m incident.Manager, rule string) {
	t.Helper()
	inc, ok, err := m.Active(ctx, with(firing, rule).Slot)
	if err == nil && ok {
		_, err = m.UpdateStatus(ctx, inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
	}
	if err != nil {
		t.Fatal(err)
	}
}
