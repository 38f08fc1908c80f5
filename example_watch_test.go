package incident_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// board is a host's list of an organization's incidents, which it shows to many viewers.
type board struct {
	incidents incident.Manager
	org       incident.OrganizationID
	shown     map[int64]incident.Incident
}

// refresh brings the list up to date with changes.
func (b *board) refresh(ctx context.Context, c incident.Changes) error {
	if c.Resync { // also at the beginning
		page, err := b.incidents.List(ctx, incident.IncidentFilter{OrganizationID: b.org, Limit: incident.MaxPageSize})
		if err != nil {
			return err
		}
		b.shown = map[int64]incident.Incident{}
		for _, inc := range page.Incidents {
			b.shown[inc.Identifier] = inc
		}
		fmt.Println("shows", len(b.shown))
		return nil
	}
	for _, changed := range c.Incidents {
		inc, err := b.incidents.Get(ctx, changed.Key)
		if err != nil {
			return err
		}
		if inc.Version == b.shown[inc.Identifier].Version {
			fmt.Println(changed.Key, "has a new comment, or another text of a comment")
			continue
		}
		b.shown[inc.Identifier] = inc
		fmt.Println(changed.Key, "is", inc.Status)
	}
	return nil
}

// Keep a list up to date without asking for it again and again.
func ExampleWatchManager() {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Checkout fails"})
	if err != nil {
		log.Fatal(err)
	}

	// What others do meanwhile.
	writes := []func() error{
		func() error {
			_, err := incidents.UpdateStatus(ctx, inc.Key(), incident.StatusUpdate{Status: incident.StatusCritical, UserID: "ada"})
			return err
		},
		func() error {
			_, err := incidents.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Looking into it"})
			return err
		},
		func() error { return errEnough },
	}

	b := &board{incidents: incidents, org: "acme"}
	err = incidents.Watch(ctx, "acme", func(c incident.Changes) error {
		if err := b.refresh(ctx, c); err != nil {
			return err
		}
		next := writes[0]
		writes = writes[1:]
		return next()
	})
	if !errors.Is(err, errEnough) {
		log.Fatal(err)
	}
	// Output:
	// shows 1
	// acme#1 is Critical
	// acme#1 has a new comment, or another text of a comment
}

// errEnough ends the example. A host ends Watch with its context.
var errEnough = errors.New("enough")
