// Command quickstart follows an incident from its first trigger to its end, in a store in
// memory or in a SQLite file. With a file, each run adds an incident.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -db incidents.db
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/sqlite"
)

func main() {
	file := flag.String("db", "", "the SQLite `FILE` of the incidents, which is created if it is missing (default: in memory)")
	flag.Parse()
	run(*file, os.Stdout)
}

// run follows an incident in a store in memory or, with a file, in SQLite.
func run(file string, out io.Writer) {
	ctx := context.Background()
	if file == "" {
		follow(ctx, memory.New(), out)
		return
	}
	store, err := sqlite.Open(ctx, file, nil)
	check(err)
	follow(ctx, store, out)
	check(store.Close())
}

// follow writes the timeline of a new incident.
func follow(ctx context.Context, store incident.Store, out io.Writer) {
	clock := time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)
	incidents, err := incident.New(store, &incident.Options{Now: func() time.Time { return clock }})
	check(err)

	// The error rate of checkout passes 5 %: the rule's warning trigger fires and opens
	// an incident. Nine minutes later the error rate passes 20 %.
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"}
	fire := func(trigger incident.TriggerID, severity incident.Status) incident.Key {
		inc, err := incidents.Fire(ctx, incident.Firing{
			Slot: slot, TriggerID: trigger, Severity: severity, Title: "Checkout error rate is too high",
		})
		check(err)
		return inc.Key()
	}
	key := fire("above-5-percent", incident.StatusWarning)
	clock = clock.Add(9 * time.Minute)
	fire("above-20-percent", incident.StatusCritical)

	// Ada is on call. Her mention of Grace subscribes Grace.
	clock = clock.Add(3 * time.Minute)
	_, err = incidents.Subscribe(ctx, key, "ada")
	check(err)
	_, err = incidents.MarkSeen(ctx, key, "ada")
	check(err)
	_, err = incidents.Comment(ctx, key, incident.NewComment{
		UserID: "ada", Comment: "The last deploy did it, rolling back. FYI @grace", Mentions: []incident.UserID{"grace"},
	})
	check(err)

	// The rollback helps. The incident is closed with its last active trigger.
	for _, trigger := range []incident.TriggerID{"above-20-percent", "above-5-percent"} {
		clock = clock.Add(7 * time.Minute)
		_, err = incidents.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: trigger})
		check(err)
	}

	d, err := incidents.Details(ctx, key, "ada")
	check(err)
	page, err := incidents.Activities(ctx, key, incident.ActivityFilter{})
	check(err)
	fmt.Fprintf(out, "%s  %s\n%s after %s, seen by %s\n\n", d.Key(), d.Title, d.Status, d.Duration(clock), d.SeenBy[0].UserID)
	for _, a := range page.Activities {
		fmt.Fprintln(out, a.DateAdded.Format("15:04"), describe(a))
	}
}

func describe(a incident.Activity) string {
	switch a.Type {
	case incident.ActivityTypeDetected:
		return "detected"
	case incident.ActivityTypeCreated:
		return "recorded as " + a.Value.String()
	case incident.ActivityTypeStatusChange:
		return a.PreviousValue.String() + " → " + a.Value.String()
	}
	return string(a.UserID) + ": " + a.Comment
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
