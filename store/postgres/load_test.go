package postgres_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// Values of all kinds are the same in reads of an incident or its slot, whose columns are packed, as in
// the read of its details, whose columns are not.
func TestStore_readsUnpack(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	var keys []incident.Key
	for _, n := range []incident.NewIncident{
		{Title: `Läuft "nicht", {a,b}` + "\n\\x", Projects: []incident.ProjectID{`a"b`, "c,d", "{}", `\`, "NULL", " "}},
		{
			Title: "Down", AlertRuleID: "cpu", QueryID: "q", DetectionUUID: uuid.MustParse("00010203-0405-0607-0809-0a0b0c0d0e0f"),
			DateStarted: time.Date(1970, 7, 20, 20, 17, 40, 123_456_000, time.UTC), DateDetected: time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
			Projects: []incident.ProjectID{"api"}, Labels: labels("täam", `"a"`), Annotations: labels("b", "\t"),
		},
		{Title: "Without a project", Status: incident.StatusWarning},
	} {
		n.OrganizationID = "acme"
		r, err := m.Create(t.Context(), n)
		mustDo(t, err)
		keys = append(keys, r.Key())
	}
	mustDo(t, only(m.Acknowledge(t.Context(), keys[0], incident.Acknowledgement{UserID: "ada"})))
	mustDo(t, only(m.UpdateStatus(t.Context(), keys[1], incident.StatusUpdate{Status: incident.StatusClosed})))
	for _, trigger := range []incident.TriggerID{"b", "a", "c"} {
		f := firing
		f.OrganizationID, f.TriggerID = "acme", trigger
		r, err := m.Fire(t.Context(), f)
		mustDo(t, err)
		keys = append(keys, r.Key())
	}
	for _, key := range keys {
		mustUnpack(t, s, key)
	}
}

// A read has nothing of the reads before, with which it shares memory: incidents that follow each other
// have equal fields, different fields, or none.
func TestStore_readsForget(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	some := incident.NewIncident{
		OrganizationID: "acme", Title: "Down", Projects: []incident.ProjectID{"api"},
		Labels: labels("team", "a"), Annotations: labels("runbook", "b"),
	}
	var want []incident.Incident
	for _, n := range []incident.NewIncident{some, some, {OrganizationID: "acme", Title: "Slow", Projects: some.Projects}, some} {
		r, err := m.Create(t.Context(), n)
		mustDo(t, err)
		want = append(want, r.Incident)
	}
	fired, err := m.Fire(t.Context(), firing)
	mustDo(t, err)
	want = append(want, fired.Incident)
	for range 10 {
		for _, inc := range want {
			state, err := s.Load(t.Context(), inc.Key())
			if err != nil || !reflect.DeepEqual(state.Incident, inc) || (len(state.Triggers) == 1) != (inc.Key() == fired.Key()) {
				t.Fatalf("Load() = %+v, %v, want %+v", state, err, inc)
			}
		}
	}
}

// mustUnpack compares the reads of an incident, and of its slot if it holds one.
func mustUnpack(t *testing.T, s *postgres.Store, key incident.Key) {
	t.Helper()
	want, err := s.LoadDetails(t.Context(), key, "ada")
	mustDo(t, err)
	state, err := s.Load(t.Context(), key)
	if err != nil || !reflect.DeepEqual(state.Incident, want.Incident) || !reflect.DeepEqual(state.Triggers, want.Triggers) {
		t.Errorf("Load() = %+v, %v, want %+v", state, err, want)
	}
	tx := s.InTx(t.Context(), func(tx incident.Store) error {
		inTx, err := tx.Load(t.Context(), key)
		if !reflect.DeepEqual(inTx, state) {
			t.Errorf("Load() in a transaction = %+v, want %+v", inTx, state)
		}
		return err
	})
	mustDo(t, tx)
	if len(state.Triggers) == 0 {
		return
	}
	slot := firing.Slot
	slot.OrganizationID = key.OrganizationID
	if held, err := s.LoadSlot(t.Context(), slot); err != nil || held.State == nil || !reflect.DeepEqual(*held.State, state) {
		t.Errorf("LoadSlot() = %+v, %v, want %+v", held, err, state)
	}
}
