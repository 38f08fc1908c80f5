package incident_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A user acknowledges an incident for an hour, assigns a colleague, who labels it and finds it in
// a list.
func ExampleResponseManager() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Payments are slow"})
	if err != nil {
		log.Fatal(err)
	}
	key := inc.Key()

	inc, err = incidents.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "ada", Until: time.Now().Add(time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("by", inc.Response.AcknowledgedBy, "now:", inc.Acknowledged(time.Now()),
		"in two hours:", inc.Acknowledged(time.Now().Add(2*time.Hour)))

	if _, err = incidents.Assign(ctx, key, incident.Assignment{UserID: "ada", Assignee: "grace"}); err != nil {
		log.Fatal(err)
	}
	_, err = incidents.Edit(ctx, key, incident.Edit{UserID: "grace", Labels: map[string]string{"team": "payments"}})
	if err != nil {
		log.Fatal(err)
	}

	mine, err := incidents.List(ctx, incident.IncidentFilter{
		OrganizationID: "acme", Assignee: "grace", Statuses: incident.ActiveStatuses(),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, inc := range mine.Incidents {
		fmt.Println(inc.Key(), inc.Title, inc.Labels)
	}
	counts, err := incidents.Count(ctx, incident.IncidentFilter{
		OrganizationID: "acme", Labels: map[string]string{"team": "payments"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("open:", counts.ByStatus[incident.StatusOpen])
	// Output:
	// by ada now: true in two hours: false
	// acme#1 Payments are slow map[team:payments]
	// open: 1
}
