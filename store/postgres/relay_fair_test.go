package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// stopwatch is a notifier that takes 5 ms for each notification. It records the times from
// a comment's commit to its arrival.
type stopwatch struct {
	mu        sync.Mutex // guards the fields below
	committed map[uuid.UUID]time.Time
	came      map[uuid.UUID]time.Time
}

const (
	bulky   incident.OrganizationID = "m: has much to deliver"
	failing incident.OrganizationID = "f: fails always"
)

// hanging are organizations whose receivers never answer.
var hanging = []incident.OrganizationID{"h: hangs", "n: hangs too"}

func (w *stopwatch) Notify(ctx context.Context, n incident.Notification) error {
	if slices.Contains(hanging, n.Incident.OrganizationID) {
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	w.came[n.Activity.NotificationUUID] = time.Now()
	w.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	if n.Incident.OrganizationID == failing {
		return errors.New("nobody listens")
	}
	return nil
}

// delays returns the times from the comments' commits to their arrivals.
func (w *stopwatch) delays() (all []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, at := range w.committed {
		if came, ok := w.came[id]; ok {
			all = append(all, max(came.Sub(at), 0))
		} else {
			all = append(all, math.MaxInt64)
		}
	}
	return all
}

// p99 returns the 99th percentile of the delays.
func (w *stopwatch) p99() time.Duration {
	all := w.delays()
	slices.Sort(all)
	if len(all) == 0 {
		return math.MaxInt64 // a write has failed
	}
	return all[len(all)*99/100]
}

// fairness is a Manager that delivers for 20 organizations despite disturbances.
type fairness struct {
	incident.Manager
	watch *stopwatch
	keys  []incident.Key
}

func newFairness(t *testing.T) (*fairness, *postgres.Store) {
	t.Helper()
	s, _ := newStore(t)
	f := &fairness{watch: &stopwatch{committed: map[uuid.UUID]time.Time{}, came: map[uuid.UUID]time.Time{}}}
	var err error
	f.Manager, err = incident.New(s, &incident.Options{
		Notifier: f.watch,
		Notify: incident.NotifyOptions{
			Backoff:     func(int) time.Duration { return 10 * time.Millisecond },
			MaxAttempts: math.MaxInt32,
			Timeout:     500 * time.Millisecond,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		org := incident.OrganizationID(fmt.Sprint([]string{"a", "z"}[i%2], i))
		f.keys = append(f.keys, f.mustCreate(t, org))
	}
	return f, s
}

func (f *fairness) mustCreate(t *testing.T, org incident.OrganizationID) incident.Key {
	t.Helper()
	inc, err := f.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
	if err != nil {
		t.Fatal(err)
	}
	return inc.Key()
}

// run delivers for a second while comments are added. It may be called from any goroutine.
func (f *fairness) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = f.Run(ctx) }) // Run ends with its context
	defer all.Wait()
	defer cancel()
	time.Sleep(200 * time.Millisecond)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(rand.N(10 * time.Millisecond)) {
		a, err := f.Comment(t.Context(), f.keys[rand.IntN(len(f.keys))], incident.NewComment{UserID: "ada", Comment: "Hm"})
		if err != nil {
			t.Error(err)
			return
		}
		f.watch.mu.Lock()
		f.watch.committed[a.NotificationUUID] = time.Now()
		f.watch.mu.Unlock()
	}
	time.Sleep(200 * time.Millisecond)
}

// queueMany creates incidents of an organization with a notification each.
func queueMany(t *testing.T, s *postgres.Store, org incident.OrganizationID, n int) {
	t.Helper()
	for _, text := range []string{
		`INSERT INTO incident_organization VALUES ($1, $2)`,
		`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
		SELECT $1, g, 1, 1, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}' FROM generate_series(1, $2::bigint) g`,
		`INSERT INTO incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
			date_added, notification_uuid, user_id, comment)
		SELECT $1, g, 1, 0, 0, 3, 0, 0, now(), gen_random_uuid(), 'ada', 'Hm' FROM generate_series(1, $2::bigint) g`,
		`INSERT INTO incident_outbox (organization_id, identifier, replayed, next, last, due, since, ready)
		SELECT $1, g, 0, 1, 1, now(), now(), true FROM generate_series(1, $2::bigint) g`,
	} {
		if _, err := s.Pool().ExecContext(t.Context(), text, string(org), n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Pool().ExecContext(t.Context(), "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// An incident that always fails, an organization with 100,000 notifications, and two
// organizations whose receivers hang do not hold up others. At the 99th percentile the
// notifications of others take at most twice as long as without these. Times are noisy:
// the best of ten attempts counts. The first three measure one after the other. A busy machine
// could disturb one of the two alone, so the others measure both at the same time.
func TestRelay_fairness(t *testing.T) {
	without, _ := newFairness(t)
	with, s := newFairness(t)
	queueMany(t, s, bulky, 100_000)
	with.mustCreate(t, failing)
	for _, org := range hanging {
		for range 20 {
			with.mustCreate(t, org)
		}
	}
	const apart, attempts = 3, 10
	var before, after time.Duration
	for attempt := 1; attempt <= attempts; attempt++ {
		before, after = compare(t, without, with, attempt > apart)
		t.Logf("attempt %d: %v without, %v with: %+v", attempt, before, after, with.Stats().Notifications)
		if t.Failed() || after <= 2*before {
			return
		}
	}
	t.Errorf("at the 99th percentile notifications come after %v, and %v without those that disturb them", after, before)
}

// compare returns the 99th percentiles of the delays.
func compare(t *testing.T, without, with *fairness, together bool) (before, after time.Duration) {
	t.Helper()
	clear(without.watch.committed)
	clear(with.watch.committed)
	for range 2 {
		var both sync.WaitGroup
		both.Go(func() { without.run(t) })
		if !together {
			both.Wait()
		}
		both.Go(func() { with.run(t) })
		both.Wait()
	}
	return without.watch.p99(), with.watch.p99()
}
