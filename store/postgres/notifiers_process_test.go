package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// The names of the notifiers of the campaign. toSteady delivers always, toFailing and toHanging only
// after they have recovered.
const toSteady, toFailing, toHanging = "steady", "failing", "hanging"

// toAll names the notifiers of the campaign.
var toAll = []string{toSteady, toFailing, toHanging}

// notifiersTask is the task of a process that delivers for several notifiers, as lines into the
// pipe of its file descriptor 3, until its standard input ends.
type notifiersTask struct {
	Names       []string // of the notifiers for which it delivers
	Concurrency int
	Timeout     time.Duration
	Recovered   bool
	Skew        time.Duration // of the Manager's clock
}

// notifiersOf returns the options of a Manager with the notifiers of the campaign: toSteady is the
// notifier without a name.
func notifiersOf(notify incident.NotifyOptions, to func(name string) incident.Notifier) *incident.Options {
	return &incident.Options{
		Notifier: to(toSteady), Notify: notify,
		Notifiers: map[string]incident.NamedNotifier{
			toFailing: {Notifier: to(toFailing), Notify: notify},
			toHanging: {Notifier: to(toHanging), Notify: notify},
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

func (t *notifiersTask) run(ctx context.Context, s *postgres.Store, number int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := os.NewFile(3, "notifications")
	opts := notifiersOf(incident.NotifyOptions{
		Concurrency: t.Concurrency, Timeout: t.Timeout, PollInterval: 50 * time.Millisecond,
		MaxAttempts: math.MaxInt32, Backoff: func(int) time.Duration { return 100 * time.Millisecond },
	}, func(name string) incident.Notifier {
		if !slices.Contains(t.Names, name) {
			return incident.NotifyElsewhere
		}
		return incident.NotifierFunc(func(ctx context.Context, n incident.Notification) error {
			switch {
			case name == toFailing && !t.Recovered:
				return errors.New("busy")
			case name == toHanging && !t.Recovered:
				<-ctx.Done()
				return ctx.Err()
			}
			end, _ := ctx.Deadline()
			_, err := fmt.Fprintln(out, lineOf(number, name, &n, end.Add(-t.Timeout)))
			return err
		})
	})
	opts.Now = func() time.Time { return time.Now().Add(t.Skew) }
	m, err := incident.New(s, opts)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) })           // Run ends with its context
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // blocks until the end
	cancel()
	all.Wait()
	return nil
}

// lineOf returns a notification as a line, which is short enough to be written atomically by
// several processes. began is the beginning of the attempt.
func lineOf(process int, notifier string, n *incident.Notification, began time.Time) string {
	name, number := "-", n.Activity.Sequence
	if n.Reminder != nil {
		name, number = n.Reminder.Name, n.Reminder.At.UnixMicro()
	}
	return fmt.Sprint(process, " ", notifier, " ", n.Incident.Key(), " ", number, " ", n.UUID(), " ", name, " ", began.UnixNano())
}

// post holds the deliveries of the notifiers.
type post struct {
	inboxes map[string]*inbox // of activities, by notifier

	mu        sync.Mutex             // guards the fields below
	reminders map[reminderID][]int64 // the beginnings of the attempts, in nanoseconds since 1970
	processes map[int]int            // deliveries by process
}

// reminderID identifies a reminder that was set. No two reminders of a name are due at the same
// time.
type reminderID struct {
	key, name, notifier string
	at                  int64 // microseconds since 1970
}

func newPost() *post {
	return &post{
		inboxes:   map[string]*inbox{toSteady: {}, toFailing: {}, toHanging: {}},
		reminders: map[reminderID][]int64{}, processes: map[int]int{},
	}
}

// read reads until all writers have ended.
func (p *post) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var d delivered
		var notifier, name string
		var began int64
		if n, _ := fmt.Sscan(lines.Text(), &d.process, &notifier, &d.key, &d.sequence, &d.uuid, &name, &began); n == 7 {
			p.add(notifier, name, d, began)
		}
	}
}

func (p *post) add(notifier, name string, d delivered, began int64) {
	p.mu.Lock()
	p.processes[d.process]++
	if name != "-" {
		id := reminderID{d.key, name, notifier, d.sequence}
		p.reminders[id] = append(p.reminders[id], began)
	}
	p.mu.Unlock()
	if name == "-" {
		p.inboxes[notifier].add(d)
	}
}

// countOf returns the number of deliveries of a process.
func (p *post) countOf(process int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.processes[process]
}
