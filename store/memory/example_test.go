package memory_test

import (
	"context"
	"fmt"
	"log"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Keep incidents in memory. Managers of the same store see the same incidents.
func ExampleNew() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"}
	opened, err := incidents.Fire(ctx, incident.Firing{
		Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Checkout error rate above 5%",
	})
	if err != nil {
		log.Fatal(err)
	}
	active, ok, err := incidents.Active(ctx, slot)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ok, active.Key() == opened.Key(), active.Title)
	// Output: true true Checkout error rate above 5%
}
