//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A notifier that fails, a notifier that hangs and a notifier that is killed with its process,
// again and again, neither delay nor repeat the deliveries of another. Without them, a process
// that delivers nothing is started and killed as often, since a start alone takes the processors
// from all others. The delays are compared in the long form only, which needs a machine without
// other work: a hundred comments a second, four queues each. With more, two processors that the
// server shares are the limit: the ratio is 1.9 with 200 comments a second, and 3.3 with 400.
func TestNotifiers_delay(t *testing.T) {
	t.Parallel()
	incidents, comments, rounds, pause := 20, 100, 1, 2*time.Millisecond
	if long {
		incidents, comments, rounds, pause = 200, 1250, 4, 9*time.Millisecond
	}
	w := newDelayWorld(t, incidents, pause)
	const bar, patience = 1.5, 3
	for i := range patience {
		w.delays = map[bool][]time.Duration{}
		for range rounds {
			w.alone(t, comments)
			w.besideOthers(t, comments)
		}
		alone, beside := w.percentile(false), w.percentile(true)
		ratio := float64(beside) / float64(alone)
		t.Logf("the 99th percentile of the delays is %v alone, and %v beside the others: %.2f times", alone, beside, ratio)
		if ratio <= bar || !long {
			break
		}
		if i == patience-1 {
			t.Errorf("beside other notifiers the 99th percentile of the delays is %.2f times that without them, the bar is %.1f", ratio, bar)
		}
	}
	w.end(t)
	for id, came := range w.third.came {
		if len(came) > 1 {
			t.Errorf("notification %s came %d times", id, len(came))
		}
	}
}

// third is a Notifier that notes when notifications come.
type third struct {
	mu   sync.Mutex // guards came
	came map[uuid.UUID][]time.Time
}

func (r *third) Notify(_ context.Context, n incident.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came[n.UUID()] = append(r.came[n.UUID()], time.Now())
	return nil
}

// missing returns the number of notifications that have not come.
func (r *third) missing(committed map[uuid.UUID]time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range committed {
		if len(r.came[id]) == 0 {
			n++
		}
	}
	return n
}

// delayWorld measures the delays from commit to delivery of a notifier, alone and beside others.
type delayWorld struct {
	*notifierRelays
	incidents int
	pause     time.Duration // between two comments
	third     *third
	delays    map[bool][]time.Duration // beside others or not
}

func newDelayWorld(t *testing.T, incidents int, pause time.Duration) *delayWorld {
	t.Helper()
	w := &delayWorld{
		notifierRelays: newNotifierRelays(t), incidents: incidents, pause: pause,
		third: &third{came: map[uuid.UUID][]time.Time{}},
	}
	w.manager = w.newManager(t, func(*incident.Options) {})
	w.begin(t, incidents)
	return w
}

func (w *delayWorld) newManager(t *testing.T, change func(*incident.Options)) incident.Manager {
	t.Helper()
	opts := &incident.Options{
		Notifiers: map[string]incident.NamedNotifier{"third": {Notifier: w.third}},
		Logger:    slog.New(slog.DiscardHandler),
	}
	change(opts)
	pool := mustOpen(t, w.url, 8)
	m, err := incident.New(mustNew(t, pool, nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// alone measures beside a process that is killed and delivers nothing.
func (w *delayWorld) alone(t *testing.T, comments int) {
	m := w.newManager(t, func(*incident.Options) {})
	w.besideKilled(t, nil, func() { w.measure(t, false, m, comments) })
}

// besideOthers measures beside two notifiers of the process, and one of a process that is killed.
func (w *delayWorld) besideOthers(t *testing.T, comments int) {
	m := w.newManager(t, func(o *incident.Options) {
		notify := incident.NotifyOptions{Grace: time.Millisecond}
		o.Notifier = incident.NotifyElsewhere
		o.Notifiers[toFailing] = incident.NamedNotifier{
			Notifier: incident.NotifierFunc(func(context.Context, incident.Notification) error { return errors.New("busy") }), Notify: notify,
		}
		o.Notifiers[toHanging] = incident.NamedNotifier{
			Notifier: incident.NotifierFunc(func(ctx context.Context, _ incident.Notification) error { <-ctx.Done(); return ctx.Err() }), Notify: notify,
		}
	})
	before := w.post.countOf(0)
	w.besideKilled(t, []string{toSteady}, func() { w.measure(t, true, m, comments) })
	if w.post.countOf(0) == before {
		t.Error("the processes that were killed have delivered nothing")
	}
}

// besideKilled calls measure while processes that deliver for notifiers are killed, one after the
// other. The first is killed only after a delivery, if there are notifiers.
func (w *delayWorld) besideKilled(t *testing.T, notifiers []string, measure func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var killing sync.WaitGroup
	killing.Go(func() {
		before := w.post.countOf(0)
		for hasDelivered := len(notifiers) == 0; !hasDelivered || ctx.Err() == nil; {
			c := w.start(t, 0, notifiersTask{Names: notifiers, Concurrency: 4, Timeout: time.Second, Recovered: true})
			time.Sleep(300*time.Millisecond + rand.N(300*time.Millisecond)) // a start takes about 100 ms
			for deadline := time.Now().Add(time.Minute); !hasDelivered; time.Sleep(10 * time.Millisecond) {
				hasDelivered = w.post.countOf(0) > before || time.Now().After(deadline)
			}
			c.kill()
			time.Sleep(300 * time.Millisecond)
		}
	})
	measure()
	cancel()
	killing.Wait()
}

// measure comments while m delivers, and notes the delays.
func (w *delayWorld) measure(t *testing.T, others bool, m incident.Manager, comments int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	defer running.Wait()
	defer cancel()
	w.comment(t, m, w.incidents) // connections are opened, and statements prepared
	committed := w.comment(t, m, comments)
	w.third.mu.Lock()
	defer w.third.mu.Unlock()
	for id, at := range committed {
		w.delays[others] = append(w.delays[others], max(w.third.came[id][0].Sub(at), 0))
	}
}

// comment comments on the incidents in turn, waits until all notifications have come, and returns
// when the comments were committed.
func (w *delayWorld) comment(t *testing.T, m incident.Manager, comments int) map[uuid.UUID]time.Time {
	t.Helper()
	committed := map[uuid.UUID]time.Time{}
	for i := range comments {
		c := incident.NewComment{UserID: "ada", Comment: fmt.Sprint("comment ", i), NotificationUUID: uuid.New()}
		if _, err := m.Comment(t.Context(), keyOf(i%w.incidents+1), c); err != nil {
			t.Fatal(err)
		}
		committed[c.NotificationUUID] = time.Now()
		time.Sleep(w.pause)
	}
	for deadline := time.Now().Add(2 * time.Minute); w.third.missing(committed) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d notifications have not come", w.third.missing(committed))
		}
	}
	return committed
}

func (w *delayWorld) percentile(others bool) time.Duration {
	all := w.delays[others]
	slices.Sort(all)
	return all[len(all)*99/100]
}
