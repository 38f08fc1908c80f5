package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// mustActiveOne creates an open incident with a project, a label and an assignee.
func mustActiveOne(t *testing.T, m incident.Manager) incident.Key {
	t.Helper()
	r, err := m.Create(t.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: "Down", Projects: []incident.ProjectID{"api"}, Labels: labels("team", "web"),
	})
	if err == nil {
		_, err = m.Assign(t.Context(), r.Key(), incident.Assignment{Assignee: "ada"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Key()
}

// An incident that stays active keeps its rows in incident_active, and the statement has no part that
// would write any.
func TestApply_activeKeepsRows(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	key := mustActiveOne(t, m)
	rows := func() (versions string) {
		t.Helper()
		mustDo(t, s.Pool().Get(&versions, `SELECT coalesce(string_agg(a.ctid || ' ' || a.xmin, ', ' ORDER BY digest), '') FROM incident_active a`))
		return versions
	}
	before := rows()
	for _, status := range []incident.Status{incident.StatusWarning, incident.StatusCritical, incident.StatusOpen} {
		if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status}); err != nil {
			t.Fatal(err)
		}
		if after := rows(); after != before {
			t.Errorf("with status %v incident_active has the rows %s, want %s", status, after, before)
		}
		checkActive(t, s, 0)
	}
	for _, status := range []incident.Status{incident.StatusClosed, incident.StatusCritical} {
		if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status}); err != nil {
			t.Fatal(err)
		}
		if after := rows(); (after == "") != (status == incident.StatusClosed) {
			t.Errorf("with status %v incident_active has the rows %q", status, after)
		}
		checkActive(t, s, 0)
	}
}

// changeStatus applies a change to a status with an activity.
func changeStatus(t *testing.T, s *postgres.Store, key incident.Key, to incident.Status, a incident.Activity) error {
	t.Helper()
	state, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	inc := state.Incident.Clone()
	inc.Version++
	inc.Status, inc.DateClosed = to, nil
	if !to.Active() {
		inc.DateClosed = &inc.DateAdded
	}
	a.Incident, a.DateAdded, a.NotificationUUID = key, inc.DateAdded, uuid.New()
	_, err = s.Apply(t.Context(), incident.Change{
		Key: key, Incident: &inc, ExpectVersion: inc.Version - 1, Activities: []incident.Activity{a},
	})
	return err
}

// The lists of active incidents are right if no activity tells that the status changed.
func TestApply_statusUntold(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	key := mustActiveOne(t, m)
	for _, to := range []incident.Status{incident.StatusWarning, incident.StatusClosed, incident.StatusClosed, incident.StatusOpen} {
		if err := changeStatus(t, s, key, to, incident.Activity{Type: incident.ActivityTypeComment}); err != nil {
			t.Fatal(err)
		}
		checkActive(t, s, 0)
		checkLists(t, m, "acme")
	}
}

// A change that was decided on another status than the stored writes nothing, whether the library
// or an older one was the last to write the incident.
func TestApply_statusOfAnotherHistory(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	key := mustActiveOne(t, m)
	for range 2 {
		for _, from := range []incident.Status{incident.StatusWarning, incident.StatusClosed} {
			a := incident.Activity{Type: incident.ActivityTypeStatusChange, Value: incident.StatusCritical, PreviousValue: from}
			if err := changeStatus(t, s, key, incident.StatusCritical, a); !errors.Is(err, incident.ErrVersionConflict) {
				t.Errorf("Apply of a change from %v to an open incident = %v, want ErrVersionConflict", from, err)
			}
		}
		s.Pool().MustExec(`UPDATE incident SET version = version + 1`)
	}
	a := incident.Activity{Type: incident.ActivityTypeStatusChange, Value: incident.StatusCritical, PreviousValue: incident.StatusOpen}
	if err := changeStatus(t, s, key, incident.StatusCritical, a); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}
