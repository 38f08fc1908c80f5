package incident_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// newManager returns a Manager whose clock stands at 02:31 on a Saturday.
func newManager() incident.Manager {
	incidents, err := incident.New(memory.New(), &incident.Options{
		Now: func() time.Time { return time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC) },
	})
	if err != nil {
		log.Fatal(err)
	}
	return incidents
}

func mustCreate(incidents incident.Manager) incident.Key {
	inc, err := incidents.Create(context.Background(), incident.NewIncident{
		OrganizationID: "acme",
		Title:          "Checkout error rate above 5%",
		Projects:       []incident.ProjectID{"checkout"},
	})
	if err != nil {
		log.Fatal(err)
	}
	return inc.Key()
}

// Open an incident without a database.
func ExampleNew() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}

	inc, err := incidents.Create(ctx, incident.NewIncident{
		OrganizationID: "acme",
		Title:          "Checkout error rate above 5%",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Key(), inc.Status)
	// Output: acme#1 Open
}

// Record a past incident once, even if the call is repeated.
func ExampleIncident_Duration() {
	ctx := context.Background()
	incidents := newManager()
	started := time.Date(2026, 3, 13, 22, 0, 0, 0, time.UTC)

	inc, err := incidents.Create(ctx, incident.NewIncident{
		OrganizationID: "acme",
		Title:          "Search is slow",
		DateStarted:    started,
	})
	if err != nil {
		log.Fatal(err)
	}
	closed, err := incidents.UpdateStatus(ctx, inc.Key(), incident.StatusUpdate{
		Status: incident.StatusClosed,
		Date:   started.Add(95 * time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(closed.Status, "after", closed.Duration(time.Now()))
	// Output: Resolved after 1h35m0s
}

// Page through the active incidents of two projects.
func ExampleIncidentFilter() {
	ctx := context.Background()
	incidents := newManager()
	for range 3 {
		mustCreate(incidents)
	}

	filter := incident.IncidentFilter{
		OrganizationID: "acme",
		Projects:       []incident.ProjectID{"checkout", "search"},
		Statuses:       incident.ActiveStatuses(),
		Limit:          2,
	}
	for {
		page, err := incidents.List(ctx, filter)
		if err != nil {
			log.Fatal(err)
		}
		for _, inc := range page.Incidents {
			fmt.Println(inc.Key(), inc.Title)
		}
		if page.Next == "" {
			break
		}
		filter.Cursor = page.Next
	}
	// Output:
	// acme#3 Checkout error rate above 5%
	// acme#2 Checkout error rate above 5%
	// acme#1 Checkout error rate above 5%
}

// List the incidents that a user may see: those of the user's projects, and those that affect no
// project. A user without projects sees only the latter.
func ExampleProjectAccess() {
	ctx := context.Background()
	incidents := newManager()
	for title, projects := range map[string][]incident.ProjectID{
		"Checkout fails": {"checkout"},
		"Search is slow": {"search"},
		"Office is dark": nil,
	} {
		_, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title, Projects: projects})
		if err != nil {
			log.Fatal(err)
		}
	}

	projectsOf := map[incident.UserID][]incident.ProjectID{"ada": {"checkout"}}
	for _, user := range []incident.UserID{"ada", "eve"} {
		page, err := incidents.List(ctx, incident.IncidentFilter{
			OrganizationID: "acme",
			Access:         &incident.ProjectAccess{Projects: projectsOf[user]},
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, "sees", len(page.Incidents))
	}
	// Output:
	// ada sees 2
	// eve sees 1
}

// Comment on an incident, and read its history.
func ExampleActivity() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	_, err := incidents.Comment(ctx, key, incident.NewComment{
		UserID:   "ada",
		Comment:  "Looks like the deploy of 02:20. @grace?",
		Mentions: []incident.UserID{"grace"},
	})
	if err != nil {
		log.Fatal(err)
	}
	page, err := incidents.Activities(ctx, key, incident.ActivityFilter{})
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range page.Activities {
		fmt.Printf("%d %s %q\n", a.Sequence, a.Type, a.Comment)
	}
	// Output:
	// 1 Detected ""
	// 2 Created ""
	// 3 Comment "Looks like the deploy of 02:20. @grace?"
}

// Link another affected project.
func ExampleProjectID() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	inc, err := incidents.LinkProject(ctx, key, "billing")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Projects)
	// Output: [billing checkout]
}

// Mark an incident seen, and read it as the user who saw it.
func ExampleSeen() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	if _, err := incidents.MarkSeen(ctx, key, "ada"); err != nil {
		log.Fatal(err)
	}
	d, err := incidents.Details(ctx, key, "ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.HasSeen, d.SeenBy[0].UserID, d.SeenBy[0].LastSeen.Format(time.Kitchen))
	// Output: true ada 2:31AM
}

// Subscribe to an incident. Subscribing again keeps the first date.
func ExampleSubscription() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	for range 2 {
		if _, err := incidents.Subscribe(ctx, key, "ada"); err != nil {
			log.Fatal(err)
		}
	}
	subs, err := incidents.Subscribers(ctx, key)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(subs), subs[0].UserID)
	// Output: 1 ada
}

// Close an incident. Closing it again changes nothing.
func ExampleStatus() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	for range 2 {
		inc, err := incidents.UpdateStatus(ctx, key, incident.StatusUpdate{
			Status: incident.StatusClosed,
			UserID: "ada",
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(inc.Status, inc.StatusMethod, inc.Changed)
	}
	// Output:
	// Resolved Manual true
	// Resolved Manual false
}

// Let the triggers of an alert rule open, raise and close an incident.
func ExampleTrigger() {
	ctx := context.Background()
	incidents := newManager()
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"}

	for _, f := range []incident.Firing{
		{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate"},
		{Slot: slot, TriggerID: "20%", Severity: incident.StatusCritical, Title: "Error rate"},
	} {
		inc, err := incidents.Fire(ctx, f)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(inc.Key(), inc.Status)
	}
	for _, trigger := range []incident.TriggerID{"20%", "5%"} {
		inc, err := incidents.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: trigger})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(inc.Key(), inc.Status)
	}
	// Output:
	// acme#1 Warning
	// acme#1 Critical
	// acme#1 Warning
	// acme#1 Resolved
}

// Find the active incident of an alert rule.
func ExampleSlot() {
	ctx := context.Background()
	incidents := newManager()
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"}

	_, active, err := incidents.Active(ctx, slot)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(active)
	// Output: false
}

// Close an incident and open another in one transaction.
func ExampleManager_inTx() {
	ctx := context.Background()
	incidents := newManager()
	key := mustCreate(incidents)

	err := incidents.InTx(ctx, func(tx incident.Manager) error {
		if _, err := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			return err
		}
		_, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme"}) // has no title
		return err
	})
	fmt.Println(err)

	inc, err := incidents.Get(ctx, key)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Key(), inc.Status)
	// Output:
	// incident: create in "acme": title is required
	// acme#1 Open
}

// Let only members of a project subscribe to its incidents.
func ExampleAuthorizer() {
	ctx := context.Background()
	members := map[incident.UserID]bool{"ada": true}
	incidents, err := incident.New(memory.New(), &incident.Options{
		Authorizer: incident.AuthorizerFunc(func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			var allowed []incident.UserID
			for _, u := range users {
				if members[u] {
					allowed = append(allowed, u)
				}
			}
			return allowed, nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	key := mustCreate(incidents)

	_, err = incidents.MarkSeen(ctx, key, "mallory")
	fmt.Println(errors.Is(err, incident.ErrForbidden))
	// Output: true
}
