package incident_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// keepByPlan keeps incidents by the plan of their organization.
func keepByPlan(plans func(incident.OrganizationID) string) incident.Retention {
	return incident.Retention{
		KeepFor: func(org incident.OrganizationID) time.Duration {
			switch plans(org) {
			case "free":
				return 90 * 24 * time.Hour // after an incident was closed
			case "paid":
				return 5 * 365 * 24 * time.Hour
			}
			return 0 // for ever
		},
	}
}

// Keep the incidents of an organization for 90 days after they were closed. Run deletes the others,
// about every hour, in one process at a time.
func ExampleRetention() {
	retention := keepByPlan(func(incident.OrganizationID) string { return "free" })
	incidents, err := incident.New(memory.New(), &incident.Options{Retention: retention})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- incidents.Run(ctx) }()
	await(func() bool { return incidents.Stats().Retention.Passes > 0 })
	stop() // when the program ends
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	fmt.Println("passes:", incidents.Stats().Retention.Passes)
	// Output: passes: 1
}

func TestExampleRetention_keeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[incident.OrganizationID]string{"acme": "free", "globex": "paid", "initech": "unlimited"}
		store := memory.New()
		m, err := incident.New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		for org := range plans {
			mustCloseMany(t, m, org, 1)
		}
		time.Sleep(91 * 24 * time.Hour)
		j := newJanitor(t, store, incident.Options{
			Retention: keepByPlan(func(org incident.OrganizationID) string { return plans[org] }),
		})
		defer j.mustStop(t)
		time.Sleep(time.Minute)
		for org, want := range map[incident.OrganizationID]int{"acme": 0, "globex": 1, "initech": 1} {
			wantIncidents(t, m, org, "after 91 days", want)
		}
	})
}

// Replace a user who has left by another ID. The history of the incidents stays.
func ExampleRetentionManager_eraseUser() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Checkout fails", UserID: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := incidents.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "I am looking into it."}); err != nil {
		log.Fatal(err)
	}

	n, err := incidents.EraseUser(ctx, incident.Erasure{
		OrganizationID: "acme", UserID: "ada", As: "former-user",
	})
	if err != nil {
		log.Fatal(err) // a repetition continues
	}
	fmt.Println("changed incidents:", n)

	page, err := incidents.Activities(ctx, inc.Key(), incident.ActivityFilter{})
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range page.Activities {
		fmt.Println(a.Type, "by", a.UserID)
	}
	// Output:
	// changed incidents: 1
	// Detected by former-user
	// Created by former-user
	// Comment by former-user
}

// Delete everything of the organizations that the host does not know any more.
func ExampleRetentionManager_deleteOrganization() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, org := range []incident.OrganizationID{"acme", "globex"} {
		if _, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: org, Title: "Checkout fails"}); err != nil {
			log.Fatal(err)
		}
	}

	isCustomer := map[incident.OrganizationID]bool{"acme": true}
	for org, err := range incident.AllOrganizations(ctx, incidents) {
		if err != nil {
			log.Fatal(err)
		}
		if isCustomer[org] {
			continue
		}
		n, err := incidents.DeleteOrganization(ctx, org)
		if err != nil {
			log.Fatal(err) // a repetition continues
		}
		fmt.Println("deleted", n, "incident of", org)
	}
	// Output: deleted 1 incident of globex
}
