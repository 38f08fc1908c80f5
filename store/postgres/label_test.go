package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A label whose digest is that of another label does not put an incident into a list.
func TestIncidents_digestOfAnotherLabel(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	create := func(team string) incident.Key {
		t.Helper()
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down", Labels: labels("team", team)})
		if err != nil {
			t.Fatal(err)
		}
		return r.Key()
	}
	payments, search := create("payments"), create("search")
	s.Pool().MustExec(`INSERT INTO incident_label (organization_id, digest, date_started, identifier)
		SELECT organization_id, digest, date_started, $2 FROM incident_label WHERE identifier = $1`, payments.Identifier, search.Identifier)
	f := incident.IncidentFilter{OrganizationID: "acme", Labels: labels("team", "payments")}
	page, err := m.List(t.Context(), f)
	if err != nil || len(page.Incidents) != 1 || page.Incidents[0].Identifier != payments.Identifier {
		t.Errorf("List = %+v, %v, want %s alone", page.Incidents, err, payments)
	}
	counts, err := m.Count(t.Context(), f)
	if err != nil || counts.ByStatus[incident.StatusOpen] != 1 {
		t.Errorf("Count = %+v, %v, want 1", counts, err)
	}
}

// A list finds an incident whose writer named neither its old start nor its old assignee.
func TestApply_placeUnknown(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	r, err := m.Create(t.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: "Down", Projects: []incident.ProjectID{"api"}, Labels: labels("team", "team-1", "tier", "1"),
	})
	if err == nil {
		_, err = m.Assign(t.Context(), r.Key(), incident.Assignment{Assignee: "ada"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for n, assignee := range []incident.UserID{"bob", "grace", "", "ada", ""} {
		state, err := s.Load(t.Context(), r.Key())
		if err != nil {
			t.Fatal(err)
		}
		inc := state.Incident.Clone()
		inc.Version++
		inc.DateStarted = inc.DateStarted.Add(-time.Duration(n%2) * time.Minute)
		inc.Response = nil
		if assignee != "" {
			inc.Response = &incident.Response{Assignee: assignee}
		}
		activity := incident.Activity{Incident: inc.Key(), Type: incident.ActivityTypeComment, DateAdded: inc.DateAdded, NotificationUUID: uuid.New()}
		_, err = s.Apply(t.Context(), incident.Change{
			Key: inc.Key(), Incident: &inc, ExpectVersion: inc.Version - 1, Activities: []incident.Activity{activity},
		})
		if err != nil {
			t.Fatal(err)
		}
		var rows, current int
		err = s.Pool().QueryRow(`SELECT count(*), count(*) FILTER (WHERE l.date_started = i.date_started)
			FROM incident_label l JOIN incident i USING (organization_id, identifier)`).Scan(&rows, &current)
		want := 3
		if assignee == "" {
			want = 2
		}
		if err != nil || rows != want || current != want {
			t.Errorf("after change %d there are %d rows of labels, %d with the start, %v; want %d", n, rows, current, err, want)
		}
		checkLists(t, m, "acme")
		checkActive(t, s, 0)
	}
}

// The label of an incident may be longer than an entry of an index.
func TestIncidents_longLabel(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	value := make([]byte, incident.MaxLabelsSize-len("team"))
	for i := range value {
		value[i] = byte('!' + (i*i*31+i)%90)
	}
	_, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down", Labels: labels("team", string(value))})
	if err != nil {
		t.Fatal(err)
	}
	checkLists(t, m, "acme")
}
