package incident_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// The subscribers are notified of each activity, except the user who caused it. A Detected and a
// Created activity have no recipients.
func TestRelay_notifiesSubscribersOfEveryType(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		ctx := t.Context()
		key := o.mustCreate(t, "acme")
		o.mustComment(t, key, "bob", "eve")
		original := o.mustCreate(t, "acme")
		firing := incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusCritical, Title: "Error rate"}
		lower := incident.Firing{Slot: slot, TriggerID: "2%", Severity: incident.StatusWarning, Title: "Error rate"}
		fired, err := o.Fire(ctx, firing)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"Assign":        second(o.Assign(ctx, key, incident.Assignment{UserID: "ada", Assignee: "bob"})),
			"Acknowledge":   second(o.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "bob"})),
			"Withdraw":      second(o.Acknowledge(ctx, key, incident.Acknowledgement{UserID: "eve", Withdraw: true})),
			"Edit":          second(o.Edit(ctx, key, incident.Edit{UserID: "eve", Title: "Slow"})),
			"LinkProject":   second(o.LinkProject(ctx, key, "search")),
			"UnlinkProject": second(o.UnlinkProject(ctx, key, "search")),
			"MarkDuplicate": second(o.MarkDuplicate(ctx, key, incident.Duplicate{Of: original.Identifier, UserID: "ada"})),
			"Subscribe":     second(o.Subscribe(ctx, fired.Key(), "eve")),
		} {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, err := range []error{
			second(o.Fire(ctx, lower)),
			second(o.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "2%"})),
			second(o.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "5%"})),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		subscribers := map[incident.Key][]incident.UserID{key: {"ada", "bob", "eve"}, fired.Key(): {"eve"}}
		types := map[incident.ActivityType]bool{}
		for _, n := range o.all() {
			types[n.Activity.Type] = true
			want := slices.DeleteFunc(slices.Clone(subscribers[n.Incident.Key()]), func(u incident.UserID) bool { return u == n.Activity.UserID })
			if n.Activity.Type == incident.ActivityTypeDetected || n.Activity.Type == incident.ActivityTypeCreated {
				want = nil
			}
			if n.Activity.Type == incident.ActivityTypeComment || n.Incident.Key() == fired.Key() && n.Activity.Sequence <= 3 {
				continue // written with the subscriptions, or before them
			}
			if !slices.Equal(n.Recipients, want) || n.Recipients == nil {
				t.Errorf("a %s by %q is notified to %v, want %v", n.Activity.Type, n.Activity.UserID, n.Recipients, want)
			}
		}
		if len(types) != 13 {
			t.Errorf("only %d types of activities came: %v", len(types), types)
		}
	})
}

// A subscriber without access is left out of a notification, and stays subscribed: the answer
// may have been wrong, and access may come back.
func TestRelay_asksTheAuthorizer(t *testing.T) {
	allowed := []incident.UserID{"ada", "bob", "eve"}
	down := errors.New("the directory is down")
	var mu sync.Mutex // guards allowed and fails
	var fails error
	authorizer := incident.AuthorizerFunc(func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(users, func(u incident.UserID) bool { return !slices.Contains(allowed, u) }), fails
	})
	inOffice(t, incident.Options{Authorizer: authorizer}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustComment(t, key, "bob", "eve")
		synctest.Wait()
		o.take()
		o.stop()
		o.mustComment(t, key)
		allowed, fails = []incident.UserID{"ada", "eve"}, down
		o.start(t)
		synctest.Wait()
		o.want(t)
		mu.Lock()
		fails = nil
		mu.Unlock()
		time.Sleep(2 * time.Second)
		if got := o.all(); len(got) != 1 || !slices.Equal(got[0].Recipients, []incident.UserID{"eve"}) || got[0].Attempt != 2 {
			t.Errorf("%+v came", got)
		}
		subs, err := o.Subscribers(t.Context(), key)
		if err != nil || len(subs) != 3 {
			t.Errorf("the subscribers are %+v, %v, want all three", subs, err)
		}
		mu.Lock()
		allowed = []incident.UserID{"ada", "bob", "eve"}
		mu.Unlock()
		o.take()
		o.mustComment(t, key)
		synctest.Wait()
		if got := o.all(); len(got) != 1 || !slices.Equal(got[0].Recipients, []incident.UserID{"bob", "eve"}) {
			t.Errorf("with access again came %+v", got)
		}
	})
}
