package incident_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// report is code of a host: it opens an incident and returns a message for the user. A host tests
// it without a database.
func report(ctx context.Context, incidents incident.Manager, title string) string {
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title})
	switch {
	case errors.Is(err, incident.ErrUnavailable):
		return "Please try again later."
	case err != nil:
		return "Not reported: " + err.Error()
	}
	return "Reported as " + inc.Key().String() + "."
}

// outage is a fake [incident.Manager] that fails. It embeds the interface and implements only the
// methods that the tested code calls; any other method panics.
type outage struct{ incident.Manager }

// Create implements [incident.IncidentManager].
func (outage) Create(context.Context, incident.NewIncident) (incident.Result, error) {
	return incident.Result{}, fmt.Errorf("fake: %w", incident.ErrUnavailable)
}

// Test a host's own code: with a real Manager in memory for the usual cases, and with a fake for
// failures that a store in memory never has.
func ExampleManager_fake() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report(ctx, incidents, "Search is slow"))
	fmt.Println(report(ctx, incidents, ""))
	fmt.Println(report(ctx, outage{}, "Search is slow"))
	// Output:
	// Reported as acme#1.
	// Not reported: incident: create in "acme": title is required
	// Please try again later.
}
