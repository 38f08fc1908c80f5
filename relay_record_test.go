package incident_test

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// An attempt is counted once, after its outcome was written. An outcome that was never written is
// not counted.
func TestStats_countsSettledAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faultyOutbox{Store: memory.New(), settle: math.MaxInt}
		m, err := incident.New(f, &incident.Options{
			Logger: slog.New(slog.DiscardHandler),
			Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
				switch {
				case n.Incident.OrganizationID == "acme":
					return incident.ErrUndeliverable
				case n.Activity.Sequence == 1 && n.Attempt <= 2: // the first attempt is not settled
					return context.DeadlineExceeded
				}
				return nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		want := func(when string, delivered, failed, givenUp uint64) {
			t.Helper()
			got := m.Stats().Notifications
			if got.Delivered != delivered || got.Failed != failed || got.GivenUp != givenUp {
				t.Errorf("%s %d are delivered, %d failed and %d given up; want %d, %d and %d",
					when, got.Delivered, got.Failed, got.GivenUp, delivered, failed, givenUp)
			}
		}
		o.mustCreate(t, "acme")
		o.mustCreate(t, "umbrella")
		o.start(t)
		time.Sleep(time.Second)
		want("while nothing is settled", 0, 0, 0)
		o.stop()
		want("after Run", 0, 0, 0)

		f.mu.Lock()
		f.settle, f.lost, f.busy = 5, 1, 3
		f.mu.Unlock()
		o.start(t)
		time.Sleep(time.Minute)
		o.stop()
		want("in the end", 2, 3, 2)
		page, err := m.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme"})
		if err != nil || len(page.Notifications) != 2 {
			t.Errorf("parked are %+v, %v, want both of acme", page.Notifications, err)
		}
	})
}
