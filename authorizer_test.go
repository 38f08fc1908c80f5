package incident_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// guarded returns a Manager with the incident acme#1. Only ada and grace have access to its
// project.
func guarded(t *testing.T) (incident.Manager, *incident.AuthorizerFunc) {
	t.Helper()
	ask := new(incident.AuthorizerFunc)
	*ask = func(_ context.Context, org incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
		if org != "acme" || !slices.Contains(projects, "checkout") {
			return nil, nil
		}
		projects[0] = "mine"                // the arguments belong to the authorizer
		allowed := []incident.UserID{"eve"} // whom nobody asked about
		for _, u := range users {
			if u == "ada" || u == "grace" {
				allowed = append(allowed, u)
			}
		}
		return allowed, nil
	}
	m, err := incident.New(memory.New(), &incident.Options{
		Authorizer: incident.AuthorizerFunc(func(ctx context.Context, org incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			return (*ask)(ctx, org, projects, users)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	mustFire(t, m, "5%", incident.StatusWarning)
	return m, ask
}

func mustSubscribers(t *testing.T, m incident.Manager) []incident.UserID {
	t.Helper()
	subs, err := m.Subscribers(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	users := make([]incident.UserID, len(subs))
	for i, s := range subs {
		users[i] = s.UserID
	}
	return users
}

func TestAuthorizer_seenAndSubscribe(t *testing.T) {
	m, _ := guarded(t)
	for user, want := range map[incident.UserID]error{"ada": nil, "mallory": incident.ErrForbidden} {
		if _, err := m.MarkSeen(t.Context(), key, user); !errors.Is(err, want) {
			t.Errorf("MarkSeen of %s = %v, want %v", user, err, want)
		}
		if _, err := m.Subscribe(t.Context(), key, user); !errors.Is(err, want) {
			t.Errorf("Subscribe of %s = %v, want %v", user, err, want)
		}
	}
	seen, err := m.SeenBy(t.Context(), key)
	if err != nil || len(seen) != 1 || seen[0].UserID != "ada" {
		t.Errorf("SeenBy = %+v, %v", seen, err)
	}
	if got := mustSubscribers(t, m); !slices.Equal(got, []incident.UserID{"ada"}) {
		t.Errorf("subscribers are %v", got)
	}
	unknown := incident.Key{OrganizationID: "acme", Identifier: 9}
	if _, err := m.MarkSeen(t.Context(), unknown, "mallory"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("MarkSeen of an unknown incident = %v", err)
	}
}

// A user without access is not subscribed by a change, and must not be mentioned.
func TestAuthorizer_automaticSubscriptions(t *testing.T) {
	m, _ := guarded(t)
	if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "mallory", Comment: "x", Mentions: []incident.UserID{"grace"}}); err != nil {
		t.Fatal(err)
	}
	if got := mustSubscribers(t, m); !slices.Equal(got, []incident.UserID{"grace"}) {
		t.Errorf("after a comment the subscribers are %v", got)
	}
	_, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "x", Mentions: []incident.UserID{"grace", "mallory"}})
	var field *incident.FieldError
	if !errors.As(err, &field) || field.Field != "mentions" {
		t.Errorf("mentioning one without access = %v", err)
	}
	for _, u := range []incident.StatusUpdate{
		{Status: incident.StatusClosed, UserID: "mallory"},
		{Status: incident.StatusOpen, UserID: "ada"},
	} {
		if _, err := m.UpdateStatus(t.Context(), key, u); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustSubscribers(t, m); !slices.Equal(got, []incident.UserID{"ada", "grace"}) {
		t.Errorf("after status changes the subscribers are %v", got)
	}
	log, err := m.Activities(t.Context(), key, incident.ActivityFilter{})
	if err != nil || len(log.Activities) != 6 {
		t.Errorf("activities are %+v, %v: want those of the two comments' first and of both changes", log.Activities, err)
	}
}

func TestAuthorizer_errorEndsTheCall(t *testing.T) {
	m, ask := guarded(t)
	if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil { // for MarkDuplicate
		t.Fatal(err)
	}
	down := errors.New("the directory is down")
	*ask = func(context.Context, incident.OrganizationID, []incident.ProjectID, []incident.UserID) ([]incident.UserID, error) {
		return nil, down
	}
	_, seen := m.MarkSeen(t.Context(), key, "ada")
	_, subscribe := m.Subscribe(t.Context(), key, "ada")
	_, comment := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "x"})
	_, update := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: "ada"})
	_, assign := m.Assign(t.Context(), key, incident.Assignment{Assignee: "ada"})
	_, acknowledge := m.Acknowledge(t.Context(), key, incident.Acknowledgement{UserID: "ada"})
	_, edit := m.Edit(t.Context(), key, incident.Edit{UserID: "ada", Title: "Other"})
	_, duplicate := m.MarkDuplicate(t.Context(), key, incident.Duplicate{UserID: "ada", Of: 2})
	for name, err := range map[string]error{
		"MarkSeen": seen, "Subscribe": subscribe, "Comment": comment, "UpdateStatus": update,
		"Assign": assign, "Acknowledge": acknowledge, "Edit": edit, "MarkDuplicate": duplicate,
	} {
		if !errors.Is(err, down) {
			t.Errorf("%s = %v", name, err)
		}
	}
	if mustGet(t, m).Version != 1 || len(mustSubscribers(t, m)) != 0 {
		t.Error("something was written")
	}
}

// An assignee must have access. A user who assigns, acknowledges or edits without access is not
// subscribed.
func TestAuthorizer_response(t *testing.T) {
	m, ask := guarded(t)
	asked, allowed := 0, *ask
	*ask = func(ctx context.Context, org incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
		asked++
		return allowed(ctx, org, projects, users)
	}
	for name, user := range map[string]incident.UserID{"by a user with access": "ada", "by a user without access": "mallory", "by a program": ""} {
		_, err := m.Assign(t.Context(), key, incident.Assignment{UserID: user, Assignee: "mallory"})
		var field *incident.FieldError
		if !errors.As(err, &field) || field.Field != "assignee" {
			t.Errorf("assigning a user without access %s = %v", name, err)
		}
	}
	if inc := mustGet(t, m); inc.Version != 1 || inc.Response != nil || len(mustSubscribers(t, m)) != 0 {
		t.Errorf("refused assignments left %+v with %v", inc, mustSubscribers(t, m))
	}
	for _, call := range []func(context.Context, incident.Manager) error{
		acknowledges(incident.Acknowledgement{UserID: "mallory"}),
		edits(incident.Edit{UserID: "mallory", Title: "Other"}),
		func(ctx context.Context, m incident.Manager) error {
			return only(m.Assign(ctx, key, incident.Assignment{UserID: "mallory", Assignee: "grace"}))
		},
	} {
		if err := call(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if inc := mustGet(t, m); inc.Response == nil || inc.Response.Assignee != "grace" || inc.Response.AcknowledgedBy != "mallory" {
		t.Errorf("the response is %+v", inc.Response)
	}
	if got := mustSubscribers(t, m); !slices.Equal(got, []incident.UserID{"grace"}) {
		t.Errorf("the subscribers are %v, want the assignee", got)
	}
	// A call that changes nothing, and the end of an assignment, need no access.
	before := asked
	for _, a := range []incident.Assignment{{Assignee: "grace"}, {}} {
		if _, err := m.Assign(t.Context(), key, a); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, m)
	if r, err := m.Assign(t.Context(), key, incident.Assignment{Assignee: "mallory"}); err != nil || r.Changed {
		t.Errorf("assigning a closed incident = %+v, %v", r, err)
	}
	if asked != before {
		t.Errorf("the Authorizer was asked %d times in vain", asked-before)
	}
}

// A repeated assignment is recognized, although its assignee has lost access.
func TestAuthorizer_repeatedAssignment(t *testing.T) {
	m, ask := guarded(t)
	a := incident.Assignment{Assignee: "ada", NotificationUUID: uuid.New()}
	for _, assignee := range []incident.UserID{"ada", "grace"} {
		a := a
		if a.Assignee = assignee; assignee != "ada" {
			a.NotificationUUID = uuid.Nil
		}
		if _, err := m.Assign(t.Context(), key, a); err != nil {
			t.Fatal(err)
		}
	}
	*ask = func(context.Context, incident.OrganizationID, []incident.ProjectID, []incident.UserID) ([]incident.UserID, error) {
		return nil, nil
	}
	if r, err := m.Assign(t.Context(), key, a); err != nil || r.Changed || r.Response.Assignee != "grace" {
		t.Errorf("the repeated assignment = %+v, %v", r, err)
	}
}
