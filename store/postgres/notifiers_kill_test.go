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

	"github.com/incidentkit/incident"
)

// notifierRelays is a server with processes that deliver for several notifiers.
type notifierRelays struct {
	*relays
	post     *post
	promises promises
	kills    atomic.Int64
}

func newNotifierRelays(t *testing.T) *notifierRelays {
	t.Helper()
	server, pool := startServer(t)
	m, err := incident.New(mustNew(t, pool, nil), notifiersOf(incident.NotifyOptions{}, func(string) incident.Notifier { return incident.NotifyElsewhere }))
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &notifierRelays{
		relays: &relays{server: server, url: server.URL(), manager: m, pipe: to},
		post:   newPost(), promises: promises{set: map[reminderID]*promise{}},
	}
	r.reading.Go(func() {
		defer from.Close()
		r.post.read(from)
	})
	return r
}

// start starts a process. The clocks of the processes are an hour apart.
func (r *notifierRelays) start(t *testing.T, number int, task notifiersTask) *child {
	t.Helper()
	task.Skew = time.Duration(number%3-1) * time.Hour
	return startChildWith(t, taskOfNotifiers(r.url, number, task), r.pipe)
}

func taskOfNotifiers(url string, number int, n notifiersTask) task {
	return task{URL: url, Number: number, Notifiers: &n}
}

// live lets a process deliver for a moment, and kills it.
func (r *notifierRelays) live(ctx context.Context, t *testing.T, number int, task notifiersTask) {
	before := r.post.countOf(number)
	c := r.start(t, number, task)
	for r.post.countOf(number) == before && ctx.Err() == nil && c.lives() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(rand.N(300 * time.Millisecond))
	c.kill()
	r.kills.Add(1)
}

// With several notifiers, each gets every notification in order, and every reminder that was not
// ended, whichever process is killed. Two of the notifiers deliver nothing until the end, and the
// server is restarted twice.
func TestNotifiers_killed(t *testing.T) {
	t.Parallel()
	if !long {
		killNotifiers(t, 2, 10, 100, 2500*time.Millisecond)
		return
	}
	for _, n := range []int{1, 2, 8} {
		t.Run(fmt.Sprintf("%d relays", n), func(t *testing.T) { killNotifiers(t, n, 200, 5000, 90*time.Second) })
	}
}

// killNotifiers runs n processes for a while. A fifth of the incidents has reminders, and no
// comments.
func killNotifiers(t *testing.T, n, incidents, notifications int, length time.Duration) {
	r := newNotifierRelays(t)
	reminded := max(incidents/5, 2)
	r.begin(t, incidents+reminded)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var writing, killing sync.WaitGroup
	writing.Go(func() {
		if err := r.comment(t.Context(), incidents, notifications-2*incidents); err != nil {
			t.Error(err)
		}
	})
	for i := range reminded {
		writing.Go(func() {
			if err := r.promises.keep(ctx, r.manager, keyOf(incidents+i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	for number := range n {
		killing.Go(func() {
			for ctx.Err() == nil {
				r.live(ctx, t, number, notifiersTask{Names: toAll, Concurrency: 4, Timeout: 100 * time.Millisecond})
			}
		})
	}
	for range 2 {
		time.Sleep(length / 3)
		r.server.Kill()
		if err := r.server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	<-ctx.Done()
	killing.Wait()
	writing.Wait()
	last := r.start(t, n, notifiersTask{Names: toAll, Concurrency: 16, Timeout: 10 * time.Second, Recovered: true})
	logged, err := logged(t.Context(), r.manager, incidents+reminded)
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t, logged)
	_ = last.stdin.Close()
	last.wait(t)
	r.end(t)
	r.report(t, logged, incidents+reminded)
}

// settle waits until nothing is missing.
func (r *notifierRelays) settle(t *testing.T, logged []string) {
	t.Helper()
	limit := time.Minute
	if long {
		limit *= 4
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		v, _ := r.promises.judge(r.post)
		missing := v.Lost
		for _, b := range r.post.inboxes {
			missing += judge(b.deliveries(), logged).Lost
		}
		if missing == 0 {
			return
		}
	}
}

// report fails the test if the deliveries are wrong. The process that was started last may have
// been killed with 4 attempts in progress for each notifier, and so may each before it.
func (r *notifierRelays) report(t *testing.T, logged []string, incidents int) {
	t.Helper()
	for name, b := range r.post.inboxes {
		v := judge(b.deliveries(), logged)
		if v.Lost+v.Invented+v.OutOfOrder > 0 || v.Repeated > 4*int(r.kills.Load()) || v.Wanted < 2*incidents {
			t.Errorf("%s: %+v", name, v)
		}
		t.Logf("%s: %+v", name, v)
	}
	v, wrong := r.promises.judge(r.post)
	if v.Lost+v.Late+v.Early+v.Invented > 0 || v.Delivered == 0 || v.Ended == 0 {
		t.Errorf("reminders: %+v\n%v", v, wrong[:min(len(wrong), 10)])
	}
	t.Logf("reminders: %+v, %d kills", v, r.kills.Load())
}
