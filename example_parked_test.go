package incident_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// pager is a [incident.Notifier] whose receiver does not know the service at first.
type pager struct{ configured atomic.Bool }

// Notify implements [incident.Notifier].
func (p *pager) Notify(_ context.Context, n incident.Notification) error {
	if !p.configured.Load() {
		return fmt.Errorf("%w: unknown service", incident.ErrUndeliverable) // parked at once
	}
	fmt.Println("delivered", n.Activity.Type, "replayed:", n.Replayed)
	return nil
}

// await waits until cond is true.
func await(cond func() bool) {
	for !cond() {
		time.Sleep(time.Millisecond)
	}
}

// List the notifications that were given up, and deliver them again after the cause is fixed.
func ExampleParkedNotification() {
	receiver := &pager{}
	incidents, err := incident.New(memory.New(), &incident.Options{
		Notifier: receiver,
		Notify:   incident.NotifyOptions{Concurrency: 1}, // for an output in order
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- incidents.Run(ctx) }()
	defer func() { stop(); <-ended }()

	_, err = incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	var page incident.ParkedPage
	await(func() bool {
		page, err = incidents.Parked(ctx, incident.ParkedFilter{OrganizationID: "acme"})
		return err != nil || len(page.Notifications) == 2
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range page.Notifications {
		fmt.Printf("parked %s, activity %d, attempts %d: %s\n", p.Incident, p.Sequence, p.Attempts, p.Error)
	}

	receiver.configured.Store(true)
	n, err := incidents.Replay(ctx, incident.ParkedSelection{OrganizationID: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("queued again:", n)
	await(func() bool { return incidents.Stats().Notifications.Delivered == 2 })
	// Unordered output:
	// parked acme#1, activity 1, attempts 1: undeliverable: unknown service
	// parked acme#1, activity 2, attempts 1: undeliverable: unknown service
	// queued again: 2
	// delivered Detected replayed: true
	// delivered Created replayed: true
}
