package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
	"github.com/incidentkit/incident/examples/webhook/webhook"
	"github.com/incidentkit/incident/store/memory"
)

// deliverHistory imports a history, delivers it to a receiver, and reports on both.
func deliverHistory(ctx context.Context, past *statuspage.History, fail int, stdout io.Writer, log *slog.Logger) error {
	secrets := []webhook.Secret{webhook.NewSecret()} // which the receiver knows from the sender's hand
	got := newTally()
	receiver, err := listen(secrets, got, fail, log)
	if err != nil {
		return err
	}
	defer receiver.close()
	notifier, err := webhook.NewNotifier(receiver.url, secrets, nil)
	if err != nil {
		return err
	}
	defer notifier.Close()
	incidents, err := incident.New(memory.New(), &incident.Options{Notifier: notifier, Logger: log})
	if err != nil {
		return err
	}
	added, err := statuspage.Import(ctx, incidents, past, func(int) {})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Import: %v\n", added)
	sent, err := countActivities(ctx, incidents, past.Page)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := deliverAll(ctx, incidents, sent); err != nil {
		return err
	}
	took := time.Since(began)
	parked, err := listParked(ctx, incidents, past.Page)
	if err != nil {
		return err
	}
	return report{sent, took, got.counts(), incidents.Stats().Notifications, parked}.write(stdout)
}

// countActivities counts all that happened in an organization.
func countActivities(ctx context.Context, incidents incident.Manager, organization incident.OrganizationID) (n int, err error) {
	f := incident.IncidentFilter{OrganizationID: organization, Limit: incident.MaxPageSize}
	for {
		page, err := incidents.List(ctx, f)
		if err != nil {
			return 0, err
		}
		for _, inc := range page.Incidents {
			activities, err := statuspage.Activities(ctx, incidents, inc.Key())
			if err != nil {
				return 0, err
			}
			n += len(activities)
		}
		if page.Next == "" {
			return n, nil
		}
		f.Cursor = page.Next
	}
}

// deliverAll runs the Manager until it has delivered n notifications or given them up. A
// host has no such end: it runs the Manager for as long as it runs itself.
func deliverAll(ctx context.Context, incidents incident.Manager, n int) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { ended <- incidents.Run(running) })

	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s := incidents.Stats().Notifications
		if s.Delivered+s.GivenUp >= uint64(n) {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(err, ctx.Err())
		}
	}
}

// listParked returns the notifications that were given up.
func listParked(ctx context.Context, incidents incident.Manager, organization incident.OrganizationID) (all []incident.ParkedNotification, err error) {
	f := incident.ParkedFilter{OrganizationID: organization, Limit: incident.MaxPageSize}
	for {
		page, err := incidents.Parked(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Notifications...)
		if page.Next == "" {
			return all, nil
		}
		f.Cursor = page.Next
	}
}
