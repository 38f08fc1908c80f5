//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
)

// relays is a server with relay processes, and their deliveries.
type relays struct {
	server  *pgtest.Server
	url     string
	manager incident.Manager // delivers nothing
	inbox   inbox
	pipe    *os.File // the relays' end
	reading sync.WaitGroup
}

func newRelays(t *testing.T) *relays {
	t.Helper()
	server, pool := startServer(t)
	m, err := incident.New(mustNew(t, pool, nil), &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &relays{server: server, url: server.URL(), manager: m, pipe: to}
	r.reading.Go(func() {
		defer from.Close()
		r.inbox.read(from)
	})
	return r
}

func (r *relays) start(t *testing.T, number int, task relayTask) *child {
	t.Helper()
	return startChildWith(t, taskOf(r.url, number, task), r.pipe)
}

// end waits until every delivery is in the inbox. All relays must have ended.
func (r *relays) end(t *testing.T) {
	t.Helper()
	if err := r.pipe.Close(); err != nil {
		t.Error(err)
	}
	r.reading.Wait()
}

func taskOf(url string, number int, r relayTask) task {
	return task{URL: url, Number: number, Relays: &r}
}

// begin opens incidents with two activities each.
func (r *relays) begin(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		inc, err := r.manager.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil || inc.Identifier != int64(i)+1 {
			t.Fatal(inc, err)
		}
	}
}

// comment adds comments to incidents in turn, also while the server is away.
func (r *relays) comment(ctx context.Context, incidents, comments int) error {
	for i := range comments {
		key := incident.Key{OrganizationID: "acme", Identifier: int64(i%incidents) + 1}
		c := incident.NewComment{UserID: "ada", Comment: fmt.Sprint("comment ", i), NotificationUUID: uuid.New()}
		var err error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if _, err = r.manager.Comment(ctx, key, c); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Each notification is delivered in order, whichever process is killed. A kill repeats
// only the deliveries that its relay had not settled: at most 1 if the relay delivers 1 at
// a time.
func TestRelay_killed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		relays, concurrency int
		always              bool
	}{{1, 1, false}, {2, 1, true}, {8, 1, false}, {2, incident.DefaultNotifyConcurrency, true}} {
		incidents, notifications := 10, 100
		if long {
			incidents, notifications = 200, 5000
		} else if !c.always {
			continue
		}
		t.Run(fmt.Sprintf("%d relays of %d", c.relays, c.concurrency), func(t *testing.T) {
			t.Parallel()
			killRelays(t, c.relays, c.concurrency, incidents, notifications)
		})
	}
}

func killRelays(t *testing.T, n, concurrency, incidents, notifications int) {
	r := newRelays(t)
	r.begin(t, incidents)
	var kills atomic.Int64
	limit := 5 * time.Minute // a process lives for a delivery at least, and starts slowly on a busy machine
	if long {
		limit *= 2
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := r.comment(ctx, incidents, notifications-2*incidents); err != nil {
			t.Error(err)
		}
	})
	var killing sync.WaitGroup
	for number := range n {
		killing.Go(func() {
			for ctx.Err() == nil {
				r.live(ctx, t, number, relayTask{Concurrency: concurrency, Timeout: 100 * time.Millisecond})
				kills.Add(1)
			}
		})
	}
	// The server is restarted twice during the deliveries.
	for part := 1; part <= 3; part++ {
		for r.inbox.firsts() < notifications*part/3 && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		if part < 3 {
			r.server.Kill()
			if err := r.server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	}
	writing.Wait()
	cancel()
	killing.Wait()
	r.deliverRest(t, n, notifications)
	r.end(t)
	v, err := r.inbox.judge(t.Context(), r.manager, incidents)
	if err != nil {
		t.Fatal(err)
	}
	if v.Lost+v.Invented+v.OutOfOrder > 0 || v.Wanted != notifications {
		t.Errorf("%+v", v)
	}
	if most := int(kills.Load()) * concurrency; v.Repeated > most {
		t.Errorf("%d notifications came again after %d kills of a relay that delivers %d at a time", v.Repeated, kills.Load(), concurrency)
	}
	t.Logf("%+v, %d kills", v, kills.Load())
}

// deliverRest has a relay deliver what the killed relays have left. A busy machine may not have started
// enough of those.
func (r *relays) deliverRest(t *testing.T, number, notifications int) {
	t.Helper()
	delivered := r.inbox.firsts()
	if delivered == notifications {
		return
	}
	if delivered < notifications/10 {
		t.Errorf("the killed relays have delivered %d of %d notifications, want more", delivered, notifications)
	}
	t.Logf("%d notifications are left", notifications-delivered)
	last := r.start(t, number, relayTask{Concurrency: 16, Timeout: 10 * time.Second})
	for deadline := time.Now().Add(5 * time.Minute); r.inbox.firsts() < notifications && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	_ = last.stdin.Close()
	last.wait(t)
}

// live lets a relay run until up to 60 ms after its first delivery.
func (r *relays) live(ctx context.Context, t *testing.T, number int, task relayTask) {
	before := r.inbox.countOf(number)
	c := r.start(t, number, task)
	for r.inbox.countOf(number) == before && ctx.Err() == nil && c.lives() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(rand.N(60 * time.Millisecond))
	c.kill()
}

// enoughShared is the number of deliveries for a meaningful result.
const enoughShared = 200

// Without a fault nothing is delivered twice, whatever the number of processes, and however
// long a delivery lasts within its timeout.
func TestRelay_shared(t *testing.T) {
	t.Parallel()
	const incidents = 50
	length := 3 * time.Second
	if long {
		length = 10 * time.Minute
	}
	r := newRelays(t)
	r.begin(t, incidents)
	var children [3]*child
	for number := range children {
		children[number] = r.start(t, number, relayTask{Concurrency: 16, Timeout: 10 * time.Second, Slow: 300 * time.Millisecond, Writes: incidents})
	}
	time.Sleep(length)
	for deadline := time.Now().Add(time.Minute); r.inbox.firsts() < enoughShared && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	for _, c := range children {
		_ = c.stdin.Close()
		c.wait(t)
	}
	// The relays may have left the latest writes to others. Another relay delivers them.
	last := r.start(t, len(children), relayTask{Concurrency: 16, Timeout: 10 * time.Second})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v, err := r.inbox.judge(t.Context(), r.manager, incidents); err == nil && v.Lost == 0 {
			break
		}
	}
	_ = last.stdin.Close()
	last.wait(t)
	r.end(t)
	v, err := r.inbox.judge(t.Context(), r.manager, incidents)
	if err != nil {
		t.Fatal(err)
	}
	if v.Lost+v.Invented+v.OutOfOrder+v.Repeated > 0 || v.Wanted < enoughShared {
		t.Errorf("%+v", v)
	}
	by := map[int]int{}
	for _, d := range r.inbox.all {
		by[d.process]++
	}
	t.Logf("%+v, by process %v", v, by)
}
