package incident_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Measure calls. The host decides which errors are failures: that an incident does not exist is
// an answer.
func ExampleOptions_trace() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), &incident.Options{
		Trace: func(ctx context.Context, call incident.Call) (context.Context, func(error)) {
			began := time.Now()
			return ctx, func(err error) {
				failed := err != nil && !errors.Is(err, incident.ErrNotFound)
				fmt.Println(call.Name, call.OrganizationID, failed, time.Since(began) < time.Minute)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	foreign := incident.Key{OrganizationID: "globex", Identifier: inc.Identifier}
	if _, err := incidents.Get(ctx, foreign); !errors.Is(err, incident.ErrNotFound) {
		log.Fatal(err)
	}
	// Output:
	// Create acme false true
	// Get globex false true
}
