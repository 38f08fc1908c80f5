package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// Creations that have left a slow group and run alone claim the same slot as members of the
// group. Each gets the true answer: one has created the incident, and the others conflict.
func TestStore_slowGroupCommitAnswersEach(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Slow"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		lock := s.Pool().MustBegin()
		lock.MustExec("SELECT FROM incident_organization WHERE organization_id = 'acme' FOR UPDATE")
		results := make([]incident.Result, 12)
		errs := make([]error, len(results))
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i], errs[i] = m.Create(t.Context(), newClaiming()) })
		}
		time.Sleep(2 * time.Second) // longer than each waits for the others
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		var created []incident.Key
		for i, err := range errs {
			switch {
			case err == nil:
				created = append(created, results[i].Key())
			case !errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrUnknownOutcome):
				t.Errorf("Create() = %v, want a conflict", err)
			}
		}
		if len(created) != 1 {
			t.Fatalf("created %v, want one incident", created)
		}
		_, err := m.UpdateStatus(t.Context(), created[0], incident.StatusUpdate{Status: incident.StatusClosed})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newClaiming() incident.NewIncident {
	return incident.NewIncident{
		OrganizationID: "acme", Title: "Down",
		AlertRuleID: firing.AlertRuleID, QueryID: firing.QueryID, Projects: []incident.ProjectID{firing.ProjectID},
	}
}
