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

// run delivers for a second while comments are added.
func (f *fairness) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = f.Run(ctx) }) // Run ends with its context
	time.Sleep(200 * time.Millisecond)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(rand.N(10 * time.Millisecond)) {
		a, err := f.Comment(t.Context(), f.keys[rand.IntN(len(f.keys))], incident.NewComment{UserID: "ada", Comment: "Hm"})
		if err != nil {
			t.Fatal(err)
		}
		f.watch.mu.Lock()
		f.watch.committed[a.NotificationUUID] = time.Now()
		f.watch.mu.Unlock()
	}
	time.Sleep(200 * time.Millisecond)
	cancel()
	all.Wait()
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
// the best of three attempts counts.
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
	for attempt := 1; ; attempt++ {
		for _, f := range []*fairness{without, with} {
			clear(f.watch.committed)
		}
		for range 2 {
			without.run(t)
			with.run(t)
		}
		p99 := func(f *fairness) (time.Duration, int) {
			all := f.watch.delays()
			slices.Sort(all)
			return all[len(all)*99/100], len(all)
		}
		before, n := p99(without)
		after, m := p99(with)
		t.Logf("%v of %d without, %v of %d with: %+v", before, n, after, m, with.Stats().Notifications)
		if after <= 2*before {
			return
		}
		if attempt == 3 {
			t.Fatalf("at the 99th percentile notifications come after %v, and %v without those that disturb them", after, before)
		}
	}
}
