package incident_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// outboxHub is a hub whose data has an outbox.
type outboxHub struct {
	incident.OutboxStore
	hub *hub
}

func (o *outboxHub) Shared() bool { return true }

func (o *outboxHub) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return o.hub.Apply(ctx, c)
}

func (o *outboxHub) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	return o.hub.Changes(ctx, since)
}

// reader is a notifier that reads the incident of each notification.
type reader struct {
	t *testing.T
	incident.Manager
	calls int
}

func (r *reader) Notify(ctx context.Context, n incident.Notification) error {
	r.calls++
	inc, err := r.Get(ctx, n.Incident.Key())
	if err != nil || inc.Version < n.Incident.Version {
		r.t.Errorf("while version %d of %s is delivered, version %d is read, %v", n.Incident.Version, inc.Key(), inc.Version, err)
	}
	return nil
}

// During the delivery of a write of another process, reads return no older version.
func TestRelay_readsNothingOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		s := &outboxHub{OutboxStore: store, hub: &hub{Store: store}}
		delivering := &reader{t: t}
		a, err := incident.New(s, &incident.Options{Notifier: delivering})
		if err != nil {
			t.Fatal(err)
		}
		delivering.Manager = a
		b, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		mustFire(t, b, "5%", incident.StatusWarning)
		s.hub.late.Store(int64(300 * time.Millisecond))
		for i := range 30 {
			mustGet(t, a)
			want := []incident.Status{incident.StatusCritical, incident.StatusWarning}[i%2]
			if _, err := b.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: want}); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				mustGet(t, a)
				time.Sleep(97 * time.Millisecond)
			}
		}
		if delivering.calls < 20 {
			t.Errorf("only %d notifications were delivered", delivering.calls)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// slotReader is a notifier that reads the slot of each notification.
type slotReader struct {
	t *testing.T
	incident.Manager
	calls int
}

func (r *slotReader) Notify(ctx context.Context, n incident.Notification) error {
	if !n.Incident.Status.Active() {
		return nil
	}
	r.calls++
	if inc, ok, err := r.Active(ctx, slot); err != nil || !ok || inc.Identifier < n.Incident.Identifier {
		r.t.Errorf("while %s is delivered as %s, the active incident is %s, %v, %v", n.Incident.Key(), n.Incident.Status, inc.Key(), ok, err)
	}
	return nil
}

// Nor is who holds the slot of an incident that another process has opened.
func TestNotify_slotsAreNotOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		s := &outboxHub{OutboxStore: store, hub: &hub{Store: store}}
		delivering := &slotReader{t: t}
		a, err := incident.New(s, &incident.Options{Notifier: delivering})
		if err != nil {
			t.Fatal(err)
		}
		delivering.Manager = a
		b, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		s.hub.late.Store(int64(300 * time.Millisecond))
		for range 20 {
			opened := mustFire(t, b, "5%", incident.StatusWarning)
			for range 30 {
				mustActive(t, a)
				time.Sleep(97 * time.Millisecond)
			}
			if _, err := b.UpdateStatus(t.Context(), opened.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				mustActive(t, a)
				time.Sleep(97 * time.Millisecond)
			}
		}
		if delivering.calls < 20 {
			t.Errorf("only %d notifications were delivered", delivering.calls)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
