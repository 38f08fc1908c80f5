package timeline_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/timeline"
)

// The history of an incident, for a review. A comment that looks like Markdown stays a comment.
func Example() {
	ctx := context.Background()
	at := time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)
	incidents, err := incident.New(memory.New(), &incident.Options{Now: func() time.Time { return at }})
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{
		OrganizationID: "acme", Title: "Checkout fails", Projects: []incident.ProjectID{"7"}, Labels: map[string]string{"team": "web"},
	})
	if err != nil {
		log.Fatal(err)
	}
	at = at.Add(5 * time.Minute)
	if _, err := incidents.Comment(ctx, inc.Key(), incident.NewComment{UserID: "1", Comment: "Rolled back.\n# Not a heading"}); err != nil {
		log.Fatal(err)
	}
	at = at.Add(5 * time.Minute)
	closed, err := incidents.UpdateStatus(ctx, inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed, UserID: "1"})
	if err != nil {
		log.Fatal(err)
	}
	err = timeline.Markdown(os.Stdout, closed.Incident, nil, timeline.Activities(ctx, incidents, inc.Key()), &timeline.Options{
		User:    func(id incident.UserID) string { return map[incident.UserID]string{"1": "Ada Lovelace"}[id] },
		Project: func(id incident.ProjectID) string { return fmt.Sprint("checkout-", id) },
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// # `acme#1` Checkout fails
	//
	// - Status: Resolved
	// - Started: 2026-03-14 02:31:00 UTC
	// - Detected: 2026-03-14 02:31:00 UTC
	// - Ended: 2026-03-14 02:41:00 UTC, after 10m0s
	// - Projects: `checkout-7`
	// - Label `team`: `web`
	//
	// ## History
	//
	// - 2026-03-14 02:31:00 UTC: The incident was detected
	// - 2026-03-14 02:31:00 UTC: The incident was created as Open
	// - 2026-03-14 02:36:00 UTC: `Ada Lovelace` commented
	//   > Rolled back\.\
	//   > \# Not a heading
	// - 2026-03-14 02:41:00 UTC: `Ada Lovelace` changed the status from Open to Resolved
}
