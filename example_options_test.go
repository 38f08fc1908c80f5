package incident_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Configure a Manager. Every option has a default; nil Options are valid too.
func ExampleOptions() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), &incident.Options{
		// A fixed clock, for a test.
		Now: func() time.Time { return time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC) },
		// Problems that no call returns, such as a failing cache.
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		// A smaller cache than the default.
		Cache:       incident.NewCache(1_000),
		IncidentTTL: time.Minute,
		// Another process delivers the notifications.
		Notifier: incident.NotifyElsewhere,
	})
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.DateAdded.Format(time.RFC3339))

	// New validates the options as a whole.
	_, err = incident.New(memory.New(), &incident.Options{IncidentTTL: -time.Minute})
	fmt.Println(err)
	// Output:
	// 2026-03-14T02:31:00Z
	// incident: new: IncidentTTL must not be negative
}
