package incident_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// sender is a [incident.Notifier] that records. A real sender calls a paging service, sends mail
// or posts to a chat.
type sender struct {
	mu   sync.Mutex // guards sent
	sent []string
	err  error // of each call
}

// Notify implements [incident.Notifier].
func (s *sender) Notify(_ context.Context, n incident.Notification) error {
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, n.Activity.Type.String())
	return nil
}

// Deliver to a pager, by mail and to a chat. The pager gets changes of the status only. The mail
// server refuses everything, which neither repeats nor holds up the deliveries of the others.
func ExampleOptions_notifiers() {
	pager, mail, chat := &sender{}, &sender{err: incident.ErrUndeliverable}, &sender{} // mail is parked at once
	store := memory.New()
	incidents, err := incident.New(store, &incident.Options{
		Notifiers: map[string]incident.NamedNotifier{
			"pager": {Notifier: pager, Notify: incident.NotifyOptions{
				Types: []incident.ActivityType{incident.ActivityTypeStatusChange},
			}},
			"mail": {Notifier: mail},
			"chat": {Notifier: chat},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- incidents.Run(ctx) }()
	defer func() { stop(); <-ended }()

	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"}
	firing := incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusCritical, Title: "Checkout fails"}
	inc, err := incidents.Fire(ctx, firing)
	if err != nil {
		log.Fatal(err)
	}
	_, err = incidents.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Rolling back."})
	if err != nil {
		log.Fatal(err)
	}
	await(func() bool {
		s := incidents.Stats().Notifiers
		return s["pager"].Delivered == 1 && s["mail"].GivenUp == 4 && s["chat"].Delivered == 4
	})
	fmt.Println("pager:", strings.Join(pager.sent, ", "))
	fmt.Println("chat:", strings.Join(chat.sent, ", "))

	parked, err := incidents.Parked(ctx, incident.ParkedFilter{OrganizationID: "acme", Notifier: "mail"})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range parked.Notifications {
		fmt.Printf("parked for %s: activity %d, %s\n", p.Notifier, p.Sequence, p.Error)
	}
	// Output:
	// pager: StatusChange
	// chat: Detected, Created, StatusChange, Comment
	// parked for mail: activity 1, undeliverable
	// parked for mail: activity 2, undeliverable
	// parked for mail: activity 3, undeliverable
	// parked for mail: activity 4, undeliverable
}

// Take a notifier away. What was queued for it stays, is counted, and can be discarded.
func ExampleNotificationManager_discard() {
	ctx, stop := context.WithCancel(context.Background())
	store := memory.New()
	before, err := incident.New(store, &incident.Options{
		Notifiers: map[string]incident.NamedNotifier{
			"mail": {Notifier: incident.NotifyElsewhere}, // this process only writes
			"chat": {Notifier: incident.NotifyElsewhere},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := before.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"}); err != nil {
		log.Fatal(err)
	}

	after, err := incident.New(store, &incident.Options{
		Notifiers: map[string]incident.NamedNotifier{"chat": {Notifier: &sender{}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- after.Run(ctx) }()
	defer func() { stop(); <-ended }()
	await(func() bool { return len(after.Stats().Abandoned) > 0 }) // Run counts every 15 s
	for _, name := range slices.Sorted(maps.Keys(after.Stats().Abandoned)) {
		fmt.Println("waiting for", name+":", after.Stats().Abandoned[name].Pending)
	}
	n, err := after.Discard(ctx, "mail")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("discarded:", n)
	// Output:
	// waiting for mail: 2
	// discarded: 2
}
