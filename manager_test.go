package incident_test

import (
	"context"
	"errors"
	"reflect"
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
	if want := reflect.TypeFor[incident.Manager]().NumMethod() - 9; len(calls) != want { // Run and Watch end with their context, Stats and Join have none, and five wait for the stores
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
	for field, err := range map[string]error{
		"store":       second(incident.New(nil, nil)),
		"IncidentTTL": second(incident.New(memory.New(), &incident.Options{IncidentTTL: -1})),
		"ActiveTTL":   second(incident.New(memory.New(), &incident.Options{ActiveTTL: -1})),
	} {
		var got *incident.FieldError
		if !errors.As(err, &got) || got.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
