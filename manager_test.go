package incident_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A call with an ended context does nothing, even if the cache could answer it.
func TestManager_contextIsOver(t *testing.T) {
	m, store := fixture(t)
	calls := keyCalls(key)
	for name, call := range slotCalls() {
		calls[name] = call
	}
	if _, err := m.Triggers(t.Context(), key); err != nil { // fills the cache
		t.Fatal(err)
	}
	if want := reflect.TypeFor[incident.Manager]().NumMethod() - 4; len(calls) != want { // Run and Watch end with their context, Stats and Join have none
		t.Fatalf("the test has %d calls, the Manager %d methods", len(calls), want)
	}
	before := snapshot(t, store)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for name, call := range calls {
		if err := call(canceled, m); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a canceled context: %v", name, err)
		}
		if err := call(expired, m); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with an expired context: %v", name, err)
		}
		var none context.Context
		var field *incident.FieldError
		if err := call(none, m); !errors.As(err, &field) || field.Field != "ctx" {
			t.Errorf("%s with a nil context: %v", name, err)
		}
	}
	if after := snapshot(t, store); !reflect.DeepEqual(before, after) {
		t.Error("calls that were over changed something")
	}
}

// The incident of another organization and an incident that does not exist cause the same error.
func TestManager_unknownIncident(t *testing.T) {
	m, store := fixture(t)
	if err := create(func(n *incident.NewIncident) { n.OrganizationID = "globex" })(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), incident.Key{OrganizationID: "globex", Identifier: 2}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, store)
	foreign := keyCalls(incident.Key{OrganizationID: "acme", Identifier: 2}) // globex has a #2
	missing := keyCalls(incident.Key{OrganizationID: "acme", Identifier: 9})
	for name, call := range foreign {
		err := call(t.Context(), m)
		if !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s of a foreign incident: %v", name, err)
			continue
		}
		want := missing[name](t.Context(), m)
		if got := strings.ReplaceAll(err.Error(), "#2", "#9"); got != want.Error() {
			t.Errorf("%s: foreign %q, missing %q", name, got, want)
		}
	}
	if after := snapshot(t, store); !reflect.DeepEqual(before, after) {
		t.Error("calls of unknown incidents changed something")
	}
}

func TestNew_refusesBadOptions(t *testing.T) {
	elsewhere := incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	named := func(name string, n incident.NamedNotifier) incident.Options {
		return incident.Options{Notifiers: map[string]incident.NamedNotifier{"pager": elsewhere, name: n}}
	}
	type input struct {
		field string
		incident.Options
	}
	bad := []input{
		{"IncidentTTL", incident.Options{IncidentTTL: -1}},
		{"ActiveTTL", incident.Options{ActiveTTL: -1}},
		{"Notifiers", named("mail", incident.NamedNotifier{})},
		{"Notifiers", incident.Options{Notifiers: notifiers(incident.MaxNotifiers + 1)}},
	}
	for _, name := range badIDs {
		bad = append(bad, input{"Notifiers", named(name, elsewhere)})
	}
	for _, typ := range []incident.ActivityType{0, -1, 1000} {
		o := incident.NotifyOptions{Types: []incident.ActivityType{incident.ActivityTypeComment, typ}}
		bad = append(bad,
			input{"Notify.Types", incident.Options{Notifier: incident.NotifyElsewhere, Notify: o}},
			input{"Notify.Types", named("mail", incident.NamedNotifier{Notifier: incident.NotifyElsewhere, Notify: o})})
	}
	var got *incident.FieldError
	for _, in := range bad {
		if _, err := incident.New(memory.New(), &in.Options); !errors.As(err, &got) || got.Field != in.field {
			t.Errorf("New() with bad %s %.200q = %v", in.field, slices.Collect(maps.Keys(in.Notifiers)), err)
		}
	}
	if _, err := incident.New(nil, nil); !errors.As(err, &got) || got.Field != "store" {
		t.Errorf("New() without a store = %v", err)
	}
}

func TestNew_acceptsTheMostNotifiers(t *testing.T) {
	most := notifiers(incident.MaxNotifiers - 1)
	most[long[1:]] = incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	m, err := incident.New(memory.New(), &incident.Options{Notifier: incident.NotifyElsewhere, Notifiers: most})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for name := range most {
		if err := remind(func(r *incident.Reminder) { r.Name, r.Notifier, r.At = name, name, time.Now().Add(time.Hour) })(t.Context(), m); err != nil {
			t.Errorf("Remind() for %.20q = %v", name, err)
		}
	}
}

// notifiers returns n named notifiers.
func notifiers(n int) map[string]incident.NamedNotifier {
	all := map[string]incident.NamedNotifier{}
	for _, name := range many[string](n) {
		all[name] = incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	}
	return all
}
