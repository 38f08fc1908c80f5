package memory_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

func TestStore_report(t *testing.T) {
	storetest.RunReport(t, func(*testing.T) incident.ReportStore { return memory.New() })
}

// A deleted incident is in no report, and neither is its acknowledgement.
func TestStore_Report_omitsDeletedIncidents(t *testing.T) {
	s := memory.New()
	started := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	inc := mustOpen(t, s, "acme", started)
	mustClose(t, s, inc)
	_, err := s.Apply(t.Context(), incident.Change{Key: inc.Key(), Activities: []incident.Activity{
		{Type: incident.ActivityTypeAcknowledged, DateAdded: started, NotificationUUID: uuid.New()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	q := incident.ReportQuery{OrganizationID: "acme", Bounds: []time.Time{started, started.AddDate(0, 0, 1)}}
	for _, want := range []int{1, 0} {
		n, err := s.Report(t.Context(), q)
		if err != nil || n.Total.Opened != want || n.Total.Acknowledged.Count != want || n.Total.Closed.Count != want {
			t.Errorf("Report() = %+v, %v, want %d of each event", n.Total, err, want)
		}
		if _, err := s.Purge(t.Context(), incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: started.AddDate(1, 0, 0), Limit: 10}); err != nil {
			t.Fatal(err)
		}
	}
}
