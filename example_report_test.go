package incident_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// printMonth prints the numbers of a month, and those of its days with events.
func printMonth(ctx context.Context, incidents incident.Manager, month time.Time) error {
	r, err := incidents.Report(ctx, incident.ReportFilter{
		OrganizationID: "acme",
		Projects:       []incident.ProjectID{"checkout"},
		Start:          month,
		End:            month.AddDate(0, 1, 0),
		Location:       month.Location(), // where each day begins
	})
	if err != nil {
		return err
	}
	for _, day := range r.Days {
		if day.Opened+day.Acknowledged.Count+day.Closed.Count > 0 {
			fmt.Println(day.Start.Format("January 2:"), day.Opened, "opened,", day.Acknowledged.Count, "acknowledged,", day.Closed.Count, "closed")
		}
	}
	fmt.Println("in total:", r.Total.Opened, "opened,", r.Total.Closed.Count, "closed")
	fmt.Println("half acknowledged within", r.Total.Acknowledged.Median, "and 95% within", r.Total.Acknowledged.P95)
	fmt.Println("closed after", r.Total.Closed.Mean, "on average")
	fmt.Println("critical at the end:", r.Active[incident.StatusCritical])
	return nil
}

// The numbers of a month, by day in the zone of the readers. The clocks were set forward on 29 March.
func ExampleReportManager() {
	ctx := context.Background()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		log.Fatal(err)
	}
	month := time.Date(2026, time.March, 1, 0, 0, 0, 0, berlin)
	clock := month
	incidents, err := incident.New(memory.New(), &incident.Options{Now: func() time.Time { return clock }})
	if err != nil {
		log.Fatal(err)
	}
	for _, history := range []struct {
		started               time.Time
		acknowledged, resolve time.Duration
		status                incident.Status
	}{
		{month.AddDate(0, -1, 27), 5 * time.Minute, 30 * time.Hour, incident.StatusWarning}, // closed on 1 March
		{time.Date(2026, time.March, 28, 23, 50, 0, 0, berlin), 15 * time.Minute, 50 * time.Minute, incident.StatusWarning},
		{time.Date(2026, time.March, 29, 0, 10, 0, 0, berlin), 10 * time.Minute, 3 * time.Hour, incident.StatusWarning},
		{time.Date(2026, time.March, 31, 23, 55, 0, 0, berlin), 0, 0, incident.StatusCritical},
	} {
		clock = history.started
		inc, err := incidents.Create(ctx, incident.NewIncident{
			OrganizationID: "acme", Title: "Checkout fails", Projects: []incident.ProjectID{"checkout"}, Status: history.status,
		})
		if err != nil {
			log.Fatal(err)
		}
		if history.resolve == 0 {
			continue
		}
		clock = history.started.Add(history.acknowledged)
		if _, err := incidents.Acknowledge(ctx, inc.Key(), incident.Acknowledgement{UserID: "ada"}); err != nil {
			log.Fatal(err)
		}
		clock = history.started.Add(history.resolve)
		if _, err := incidents.UpdateStatus(ctx, inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			log.Fatal(err)
		}
	}

	if err := printMonth(ctx, incidents, month); err != nil {
		log.Fatal(err)
	}
	// Output:
	// March 1: 0 opened, 0 acknowledged, 1 closed
	// March 28: 1 opened, 0 acknowledged, 0 closed
	// March 29: 1 opened, 2 acknowledged, 2 closed
	// March 31: 1 opened, 0 acknowledged, 0 closed
	// in total: 3 opened, 3 closed
	// half acknowledged within 10m0s and 95% within 15m0s
	// closed after 11h16m40s on average
	// critical at the end: 1
}
