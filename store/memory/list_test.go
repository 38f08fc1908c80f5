package memory_test

import (
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A walk of several chunks returns each match once.
func TestStore_Incidents_severalChunks(t *testing.T) {
	s := memory.New()
	const n = 10_000
	started := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	for i := range n {
		title := "noise"
		if i%2500 == 7 {
			title = "match"
		}
		_, err := s.Apply(t.Context(), incident.Change{
			Key: incident.Key{OrganizationID: "acme"},
			Incident: &incident.Incident{
				OrganizationID: "acme", Title: title, Status: incident.StatusOpen,
				DateStarted: started.Add(time.Duration(i) * time.Second), Version: 1,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, reverse := range []bool{false, true} {
		found, err := s.Incidents(t.Context(), incident.IncidentQuery{
			OrganizationID: "acme", Title: "match", Reverse: reverse, Limit: 100,
		})
		if err != nil || len(found) != 4 {
			t.Errorf("reverse %t: %d matches, %v, want 4", reverse, len(found), err)
		}
	}
}
