package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
)

// A title that a process of an earlier version has folded to lower case is found in its present form
// once the incident changes.
func TestStore_foldsTitlesAgainWithEachChange(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, newTables(t), 2)
	m := mustManager(t, mustNew(t, db, nil))
	r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Straße gesperrt"})
	if err != nil {
		t.Fatal(err)
	}
	found := func(title string) int {
		t.Helper()
		page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Title: title})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Incidents)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE incident SET title_folded = 'straße gesperrt'"); err != nil {
		t.Fatal(err)
	}
	if n := found("STRASSE") + found("straße"); n != 0 {
		t.Errorf("the old form is found %d times", n)
	}
	if n := found("GESPERRT"); n != 1 {
		t.Errorf("a part that both forms have is found %d times", n)
	}
	if _, err := m.UpdateStatus(t.Context(), r.Key(), incident.StatusUpdate{Status: incident.StatusWarning}); err != nil {
		t.Fatal(err)
	}
	if n := found("STRASSE") + found("straße"); n != 2 {
		t.Errorf("after a change it is found %d times", n)
	}
}
