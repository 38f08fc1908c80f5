package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// relayTask is the task of a process that delivers notifications as lines into the pipe of
// its file descriptor 3, until its standard input ends.
type relayTask struct {
	Concurrency int
	Timeout     time.Duration
	Slow        time.Duration // the duration of one delivery in twenty

	// Writes makes the process also comment on incidents. It is the number of incidents in
	// the organization "acme".
	Writes int

	// Creates is the number of goroutines that create incidents in the organization "acme".
	Creates int
}

func (t *relayTask) run(ctx context.Context, s *postgres.Store, number int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := os.NewFile(3, "notifications")
	m, err := incident.New(s, &incident.Options{
		// A short line is written atomically, even by several processes.
		Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			_, err := fmt.Fprintf(out, "%d %s %d %s\n", number, n.Incident.Key(), n.Activity.Sequence, n.Activity.NotificationUUID)
			if rand.N(20) == 0 {
				time.Sleep(t.Slow)
			}
			return err
		}),
		Notify: incident.NotifyOptions{Concurrency: t.Concurrency, Timeout: t.Timeout, PollInterval: 50 * time.Millisecond},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	if t.Writes > 0 {
		for range 2 {
			all.Go(func() { t.write(ctx, m) })
		}
	}
	for range t.Creates {
		all.Go(func() { t.create(ctx, m) })
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // blocks until the end
	cancel()
	all.Wait()
	return nil
}

func (t *relayTask) write(ctx context.Context, m incident.Manager) {
	for ctx.Err() == nil {
		key := incident.Key{OrganizationID: "acme", Identifier: rand.Int64N(int64(t.Writes)) + 1}
		// A write that ends with the context may have succeeded. The check reads the
		// incidents' logs.
		_, _ = m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Hm"})
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// create creates incidents, and comments on some at once.
func (t *relayTask) create(ctx context.Context, m incident.Manager) {
	for ctx.Err() == nil {
		inc, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err == nil && rand.N(4) == 0 {
			_, _ = m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"})
		}
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// delivered is a line of a relay.
type delivered struct {
	process  int
	key      string
	sequence int64
	uuid     string
}

// inbox holds the deliveries of all relays, in order of delivery.
type inbox struct {
	mu        sync.Mutex // guards the fields below
	all       []delivered
	processes map[int]int     // deliveries by process
	came      map[string]bool // the notifications, by UUID
}

// read reads until all writers have ended.
func (b *inbox) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var d delivered
		if n, _ := fmt.Sscan(lines.Text(), &d.process, &d.key, &d.sequence, &d.uuid); n == 4 {
			b.add(d)
		}
	}
}

func (b *inbox) add(d delivered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.came == nil {
		b.processes, b.came = map[int]int{}, map[string]bool{}
	}
	b.all = append(b.all, d)
	b.processes[d.process]++
	b.came[d.uuid] = true
}

// countOf returns the number of deliveries of a process.
func (b *inbox) countOf(process int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.processes[process]
}

// firsts returns the number of different notifications in the inbox.
func (b *inbox) firsts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.came)
}

// verdict is the difference between the deliveries and the incidents' logs.
type verdict struct {
	Wanted, Lost, Invented, OutOfOrder, Repeated int
}

// judge compares the deliveries with the logs of the n incidents of "acme".
func (b *inbox) judge(ctx context.Context, m incident.Manager, n int) (verdict, error) {
	all := b.deliveries() // before the logs, which may grow
	logged, err := logged(ctx, m, n)
	return judge(all, logged), err
}

// deliveries returns a copy, so that its reader does not hold up the relays: they wait while the pipe is
// full.
func (b *inbox) deliveries() []delivered {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// logged returns the identifiers of the notifications in the logs of the n incidents of "acme".
func logged(ctx context.Context, m incident.Manager, n int) (uuids []string, err error) {
	for i := range n {
		key := incident.Key{OrganizationID: "acme", Identifier: int64(i) + 1}
		f := incident.ActivityFilter{Limit: incident.MaxPageSize}
		for {
			page, err := m.Activities(ctx, key, f)
			if err != nil {
				return nil, err
			}
			for _, a := range page.Activities {
				uuids = append(uuids, a.NotificationUUID.String())
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	return uuids, nil
}

// judge compares deliveries with what was logged.
func judge(all []delivered, logged []string) (v verdict) {
	came := map[string]bool{}
	last := map[string]int64{}
	for _, d := range all {
		if came[d.uuid] {
			v.Repeated++
			continue
		}
		came[d.uuid] = true
		if d.sequence != last[d.key]+1 {
			v.OutOfOrder++
		}
		last[d.key] = d.sequence
	}
	v.Wanted = len(logged)
	for _, id := range logged {
		if came[id] {
			delete(came, id)
		} else {
			v.Lost++
		}
	}
	v.Invented = len(came)
	return v
}
