package incident_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// printer is a [incident.Notifier] that prints. A real notifier sends mail, posts to a chat or
// calls a webhook, and returns an error if that fails.
type printer struct{ delivered chan<- struct{} }

// Notify implements [incident.Notifier].
func (p printer) Notify(_ context.Context, n incident.Notification) error {
	fmt.Printf("%s, activity %d: %s %q for %v\n",
		n.Incident.Key(), n.Activity.Sequence, n.Activity.Type, n.Activity.Comment, n.Recipients)
	p.delivered <- struct{}{}
	return nil
}

// Notify subscribers of everything that happens to an incident. Each activity is queued in the
// commit that writes it, and Run delivers it, in order for each incident.
func ExampleNotifier() {
	delivered := make(chan struct{})
	incidents, err := incident.New(memory.New(), &incident.Options{Notifier: printer{delivered}})
	if err != nil {
		log.Fatal(err)
	}

	// A host runs the Manager until it shuts down.
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := incidents.Run(ctx); err != nil {
			log.Print(err)
		}
	})
	defer running.Wait()
	defer stop()

	inc, err := incidents.Create(ctx, incident.NewIncident{
		OrganizationID: "acme", Title: "Checkout error rate above 5%", UserID: "ada",
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = incidents.Comment(ctx, inc.Key(), incident.NewComment{
		UserID: "ada", Comment: "Rolling back. @grace", Mentions: []incident.UserID{"grace"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		<-delivered
	}
	// Output:
	// acme#1, activity 1: Detected "" for []
	// acme#1, activity 2: Created "" for []
	// acme#1, activity 3: Comment "Rolling back. @grace" for [grace]
}
