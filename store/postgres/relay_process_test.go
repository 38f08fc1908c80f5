package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// relayTask is that of a process which delivers notifications into the pipe that it has
// as its file 3, one line each, until its standard input ends.
type relayTask struct {
	Concurrency int
	Timeout     time.Duration

	// Writes has the process comment on incidents too, of which there are so many in the
	// organization "acme".
	Writes int
}

// readyLine is what a process says when it begins to deliver.
const readyLine = "ready"

func (t *relayTask) run(ctx context.Context, s *postgres.Store, number int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := os.NewFile(3, "notifications")
	m, err := incident.New(s, &incident.Options{
		// A line is written at once, also where several processes write.
		Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			_, err := fmt.Fprintf(out, "%d %s %d %s\n", number, n.Incident.Key(), n.Activity.Sequence, n.Activity.NotificationUUID)
			return err
		}),
		Notify: incident.NotifyOptions{Concurrency: t.Concurrency, Timeout: t.Timeout, PollInterval: 50 * time.Millisecond},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	_, _ = s.Backlog(ctx) // makes the connection, if the server is there
	fmt.Fprintln(out, number, readyLine)
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // it ends with its context
	if t.Writes > 0 {
		for range 2 {
			all.Go(func() { t.write(ctx, m) })
		}
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // waits for the end
	cancel()
	all.Wait()
	return nil
}

func (t *relayTask) write(ctx context.Context, m incident.Manager) {
	for ctx.Err() == nil {
		key := incident.Key{OrganizationID: "acme", Identifier: rand.Int64N(int64(t.Writes)) + 1}
		// What ends with the context may be written: who checks asks the log.
		_, _ = m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Hm"})
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

// inbox is what all relays have delivered, in the order in which they did.
type inbox struct {
	mu    sync.Mutex // guards what is below
	all   []delivered
	ready map[int]int // how often each process has begun
}

// read reads until all who write have ended.
func (b *inbox) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var d delivered
		b.mu.Lock()
		if n, _ := fmt.Sscan(lines.Text(), &d.process, &d.key, &d.sequence, &d.uuid); n == 4 {
			b.all = append(b.all, d)
		} else if d.key == readyLine {
			if b.ready == nil {
				b.ready = map[int]int{}
			}
			b.ready[d.process]++
		}
		b.mu.Unlock()
	}
}

// begun is how often a process has begun to deliver.
func (b *inbox) begun(process int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready[process]
}

// firsts is how many different notifications have come.
func (b *inbox) firsts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[string]bool{}
	for _, d := range b.all {
		seen[d.uuid] = true
	}
	return len(seen)
}

// verdict is what is wrong with what came, beside what is in the incidents' logs.
type verdict struct {
	Wanted, Lost, Invented, OutOfOrder, Repeated int
}

// judge compares with the logs of all incidents of "acme", of which there are n.
func (b *inbox) judge(ctx context.Context, m incident.Manager, n int) (v verdict, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	came := map[string]bool{}
	last := map[string]int64{}
	for _, d := range b.all {
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
	for i := range n {
		key := incident.Key{OrganizationID: "acme", Identifier: int64(i) + 1}
		f := incident.ActivityFilter{Limit: incident.MaxPageSize}
		for {
			page, err := m.Activities(ctx, key, f)
			if err != nil {
				return v, err
			}
			for _, a := range page.Activities {
				v.Wanted++
				if id := a.NotificationUUID.String(); came[id] {
					delete(came, id)
				} else {
					v.Lost++
				}
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	v.Invented = len(came)
	return v, nil
}
