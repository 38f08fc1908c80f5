package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"github.com/incidentkit/incident"
)

// demoOrganization is the organization of a demonstration, without tokens and import.
const demoOrganization incident.OrganizationID = "acme"

// newDemoDirectory returns a directory for this run: ada and grace see everything in the
// organization, and ada has the token.
func newDemoDirectory(organization incident.OrganizationID) (d *directory, text string) {
	text = rand.Text()
	all := memberships{organization: {all: true}}
	return &directory{
		tokens: []token{{sum: sha256.Sum256([]byte(text)), user: "ada"}},
		users:  map[incident.UserID]memberships{"ada": all, "grace": all},
	}, text
}

// fillDemo makes an open and a closed incident, unless the organization already has some.
func fillDemo(ctx context.Context, incidents incident.Manager) error {
	return incidents.InTx(ctx, func(tx incident.Manager) error {
		page, err := tx.List(ctx, incident.IncidentFilter{OrganizationID: demoOrganization, Limit: 1})
		if err != nil || len(page.Incidents) > 0 {
			return err
		}
		if err := fillCheckout(ctx, tx); err != nil {
			return err
		}
		return fillSearch(ctx, tx)
	})
}

// fillCheckout makes an open incident.
func fillCheckout(ctx context.Context, tx incident.Manager) error {
	slot := incident.Slot{OrganizationID: demoOrganization, AlertRuleID: "error-rate", ProjectID: "checkout"}
	var opened incident.Result
	for _, t := range []struct {
		id       incident.TriggerID
		severity incident.Status
	}{
		{"above-5-percent", incident.StatusWarning},
		{"above-20-percent", incident.StatusCritical},
	} {
		var err error
		opened, err = tx.Fire(ctx, incident.Firing{
			Slot: slot, TriggerID: t.id, Severity: t.severity, Title: "Checkout error rate is too high",
		})
		if err != nil {
			return err
		}
	}
	if _, err := tx.MarkSeen(ctx, opened.Key(), "grace"); err != nil {
		return err
	}
	_, err := tx.Comment(ctx, opened.Key(), incident.NewComment{
		UserID: "grace", Comment: "The last deploy did it, rolling back. FYI @ada", Mentions: []incident.UserID{"ada"},
	})
	return err
}

// fillSearch makes a closed incident.
func fillSearch(ctx context.Context, tx incident.Manager) error {
	created, err := tx.Create(ctx, incident.NewIncident{
		OrganizationID: demoOrganization, Title: "Search shows yesterday's prices",
		Projects: []incident.ProjectID{"search"}, UserID: "grace",
	})
	if err != nil {
		return err
	}
	_, err = tx.UpdateStatus(ctx, created.Key(), incident.StatusUpdate{
		Status: incident.StatusClosed, UserID: "grace", Comment: "The index was rebuilt.",
	})
	return err
}
