package incident_test

import (
	"testing"

	"github.com/incidentkit/incident"
)

// history returns the activities of an incident, without the fields that all activities have.
func history(t *testing.T, m incident.Manager, key incident.Key) []incident.Activity {
	t.Helper()
	page, err := m.Activities(t.Context(), key, incident.ActivityFilter{Limit: incident.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	list := page.Activities
	for i := range list {
		list[i] = incident.Activity{
			Type: list[i].Type, Value: list[i].Value, PreviousValue: list[i].PreviousValue, TriggerID: list[i].TriggerID,
			Field: list[i].Field, Old: list[i].Old, New: list[i].New,
		}
	}
	return list
}

// A project that is linked or unlinked is in the history, once.
func TestLinkProject_isInTheHistory(t *testing.T) {
	m, _ := fixture(t)
	before := len(history(t, m, key))
	for range 2 {
		if _, err := m.LinkProject(t.Context(), key, "search"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := m.UnlinkProject(t.Context(), key, "checkout"); err != nil {
			t.Fatal(err)
		}
	}
	got := history(t, m, key)[before:]
	want := []incident.Activity{
		{Type: incident.ActivityTypeProjectLinked, Field: "project", New: "search"},
		{Type: incident.ActivityTypeProjectUnlinked, Field: "project", Old: "checkout"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the history has %+v, want %+v", got, want)
	}
}
