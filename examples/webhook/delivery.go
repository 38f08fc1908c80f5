package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/webhook"
)

// deliverHistory imports a history, delivers it to a receiver, and reports on both.
func deliverHistory(ctx context.Context, past *statuspage.History, fail int, stdout io.Writer, log *slog.Logger) error {
	secrets := []webhook.Secret{webhook.NewSecret()} // sender and receiver share them
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
	incidents, err := incident.New(memory.New(), &incident.Options{
		Notifier: notifier, Notify: webhook.NotifyOptions(), Logger: log,
	})
	if err != nil {
		return err
	}
	var sent int
	began := time.Now()
	err = whileItRuns(ctx, incidents, func(ctx context.Context) error {
		added, err := statuspage.Import(ctx, incidents, past, func(int) {})
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Import: %v\n", added)
		if sent, err = countActivities(ctx, incidents, past.Page); err != nil {
			return err
		}
		return awaitDelivery(ctx, incidents, sent)
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	parked, err := listParked(ctx, incidents, past.Page)
	if err != nil {
		return err
	}
	return report{sent, took, got.counts(), incidents.Stats().Notifications, parked}.write(stdout)
}

// countActivities counts the activities of an organization.
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

// whileItRuns calls f while the Manager is running, then stops the Manager. A host runs
// the Manager for its whole lifetime. The context of f ends if the Manager stops.
func whileItRuns(ctx context.Context, incidents incident.Manager, f func(ctx context.Context) error) error {
	running, stop := context.WithCancelCause(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop(nil)
	background.Go(func() { stop(incidents.Run(running)) })
	err := await(running, func() bool { return incidents.Stats().Running })
	if err == nil {
		err = f(running)
	}
	if stopped := context.Cause(running); err != nil && stopped != nil {
		return stopped
	}
	return err
}

// awaitDelivery waits until n notifications were delivered or given up.
func awaitDelivery(ctx context.Context, incidents incident.Manager, n int) error {
	return await(ctx, func() bool {
		s := incidents.Stats().Notifications
		return s.Delivered+s.GivenUp >= uint64(n)
	})
}

// await waits until is returns true, or ctx ends.
func await(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// listParked returns the parked notifications of an organization.
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
