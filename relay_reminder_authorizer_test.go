package incident_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// While the Authorizer takes its time, the incident changes. The state at the call of the Notifier
// decides.
func TestRelay_looksAgainAfterTheAuthorizer(t *testing.T) {
	const takes = 5 * time.Second
	for name, c := range map[string]struct {
		unless    incident.Unless
		meanwhile func(ctx context.Context, o *office, key incident.Key) error
		comes     bool
	}{
		"nothing": {incident.UnlessAcknowledged, func(context.Context, *office, incident.Key) error { return nil }, true},
		"acknowledged": {incident.UnlessAcknowledged, func(ctx context.Context, o *office, key incident.Key) error {
			return second(o.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "eve"}))
		}, false},
		"acknowledged for a while": {incident.UnlessAcknowledged, func(ctx context.Context, o *office, key incident.Key) error {
			return second(o.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "eve", Until: time.Now().Add(time.Second)}))
		}, true},
		"lowered": {incident.UnlessLowered, func(ctx context.Context, o *office, key incident.Key) error {
			return second(o.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen}))
		}, false},
		"raised": {incident.UnlessLowered, func(ctx context.Context, o *office, key incident.Key) error {
			return second(o.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical}))
		}, true},
		"closed": {0, func(ctx context.Context, o *office, key incident.Key) error { return closeIncident(ctx, o, key) }, false},
		"cancelled": {0, func(ctx context.Context, o *office, key incident.Key) error {
			return o.CancelReminder(ctx, key, "escalate")
		}, false},
		"moved": {0, func(ctx context.Context, o *office, key incident.Key) error {
			r := dueIn(time.Hour, 0)
			return errors.Join(o.Remind(ctx, key, r), o.Remind(ctx, key, incident.Reminder{Name: "other", At: r.At}))
		}, false},
		"closed and reopened": {0, func(ctx context.Context, o *office, key incident.Key) error {
			return errors.Join(closeIncident(ctx, o, key), reopen(ctx, o, key))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var slow chan struct{} // nil while the Authorizer answers at once
			opts := incident.Options{Authorizer: incident.AuthorizerFunc(
				func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
					if slow != nil {
						slow <- struct{}{}
						time.Sleep(takes)
					}
					return users, nil
				})}
			inOffice(t, opts, func(t *testing.T, o *office) {
				key := o.mustCreate(t, "acme")
				o.mustComment(t, key, "bob")
				o.mustSetStatus(t, key, incident.StatusWarning)
				synctest.Wait()
				o.take()
				slow = make(chan struct{}, 9)
				o.mustRemind(t, key, dueIn(time.Minute, c.unless))
				<-slow
				asked := slow
				slow = nil
				if err := c.meanwhile(t.Context(), o, key); err != nil {
					t.Fatal(err)
				}
				time.Sleep(takes)
				synctest.Wait()
				got := o.all()
				came := slices.ContainsFunc(got, func(n incident.Notification) bool { return n.Reminder != nil })
				if came != c.comes {
					t.Errorf("it came: %t, want %t", came, c.comes)
				}
				for _, n := range got {
					if now, err := o.Get(t.Context(), key); n.Reminder != nil && (err != nil || n.Incident.Version != now.Version) {
						t.Errorf("it came with version %d, want %d, %v", n.Incident.Version, now.Version, err)
					}
				}
				if all := mustReminders(t, o, key); name != "moved" && len(all) != 0 || len(asked) != 0 {
					t.Errorf("after that %+v is pending, and the Authorizer was asked %d times more", all, len(asked))
				}
			})
		})
	}
}

// A reminder that has ended at its time fails no attempt, even if the Authorizer is down.
func TestRelay_endsRemindersWithoutTheAuthorizer(t *testing.T) {
	var down atomic.Bool
	opts := incident.Options{Authorizer: incident.AuthorizerFunc(
		func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			if down.Load() {
				return nil, errors.New("the directory is down")
			}
			return users, nil
		})}
	inOffice(t, opts, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustComment(t, key, "bob")
		o.mustAcknowledge(t, key, incident.Acknowledgement{})
		o.mustRemind(t, key, dueIn(time.Minute, incident.UnlessAcknowledged))
		synctest.Wait()
		o.take()
		down.Store(true)
		time.Sleep(2 * time.Minute)
		o.want(t)
		if all := mustReminders(t, o, key); len(all) != 0 || o.Stats().Notifications.Failed != 0 {
			t.Errorf("%+v is pending after %d failed attempts", all, o.Stats().Notifications.Failed)
		}
	})
}
