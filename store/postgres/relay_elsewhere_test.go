package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// arrivals records the arrival of each notification.
type arrivals struct {
	mu   sync.Mutex // guards came
	came map[uuid.UUID]time.Time
}

func (a *arrivals) Notify(_ context.Context, n incident.Notification) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came[n.Activity.NotificationUUID] = time.Now()
	return nil
}

// await returns the time of a notification's arrival.
func (a *arrivals) await(t *testing.T, id uuid.UUID) time.Time {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		a.mu.Lock()
		at, ok := a.came[id]
		a.mu.Unlock()
		if ok {
			return at
		}
	}
	t.Fatal("a notification has not come within a minute")
	return time.Time{}
}

// A notification of another process's write arrives soon while the delivering process
// reads or delivers. That holds for comments too, although they change no version.
func TestRelay_writtenElsewhere(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	got := &arrivals{came: map[uuid.UUID]time.Time{}}
	here, err := incident.New(s, &incident.Options{Notifier: got, Notify: incident.NotifyOptions{PollInterval: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	there, err := incident.New(mustNew(t, mustOpen(t, url, 2), nil), &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	key := mustCreateBare(t, there)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = here.Run(ctx) }) // Run ends with its context
	defer all.Wait()
	defer cancel()
	length := 3 * time.Second
	if long {
		length *= 2
	}
	// delay returns the median of the delays, while the delivering process is busy.
	delay := func(busy func()) time.Duration {
		var took []time.Duration
		for end := time.Now().Add(length); time.Now().Before(end); {
			busy()
			time.Sleep(150 * time.Millisecond)
			a, err := there.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "Hm"})
			if err != nil {
				t.Fatal(err)
			}
			committed := time.Now()
			took = append(took, got.await(t, a.NotificationUUID).Sub(committed))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	for name, busy := range map[string]func(){
		"reads":    func() { _, _ = here.Get(ctx, key) },
		"delivers": func() { mustCreateBare(t, here) },
	} {
		const most, rounds = 100 * time.Millisecond, 10
		median := delay(busy)
		for round := 1; median > most && round < rounds; round++ { // a round is as short as a disturbance of the machine
			median = delay(busy)
		}
		t.Logf("while it %s: median %v", name, median)
		if median > most {
			t.Errorf("while the process %s, a notification of another process's write comes after %v at the median, want %v", name, median, most)
		}
	}
}

// A notification for 100,000 subscribers arrives at the first attempt, also with an
// Authorizer.
func TestRelay_manyFollowers(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	got := make(chan incident.Notification, 10)
	m, err := incident.New(s, &incident.Options{
		Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			got <- n
			return nil
		}),
		Authorizer: incident.AuthorizerFunc(func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			return slices.DeleteFunc(users, func(u incident.UserID) bool { return strings.HasSuffix(string(u), "7") }), nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	key := mustCreateBare(t, m)
	s.Pool().MustExecContext(t.Context(), `INSERT INTO incident_subscription (organization_id, identifier, user_id, date_added)
		SELECT $1, $2, 'user-' || g, now() FROM generate_series(1, $3::bigint) g`, string(key.OrganizationID), key.Identifier, n)
	if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	defer all.Wait()
	defer cancel()
	start := time.Now()
	for {
		select {
		case n1 := <-got:
			if n1.Activity.Type != incident.ActivityTypeComment {
				continue
			}
			t.Logf("it came after %v", time.Since(start))
			if len(n1.Recipients) != n*9/10 || n1.Attempt != 1 {
				t.Errorf("at attempt %d it came for %d, want %d at the first", n1.Attempt, len(n1.Recipients), n*9/10)
			}
		case <-time.After(time.Minute):
			t.Fatal("it has not come within a minute")
		}
		break
	}
	var rest int
	if err := s.Pool().GetContext(t.Context(), &rest, "SELECT count(*) FROM incident_subscription"); err != nil || rest != n+1 {
		t.Errorf("%d follow after it, %v; want all %d", rest, err, n+1)
	}
}

// The log warns once of a queue that is not delivered, and of writes that are not queued
// where other processes queue.
func TestRelay_warns(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	var log bytes.Buffer
	newManager := func(s *postgres.Store, n incident.Notifier) incident.Manager {
		m, err := incident.New(s, &incident.Options{Notifier: n, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	queues, bare := newManager(s, &arrivals{came: map[uuid.UUID]time.Time{}}), newManager(s, nil)
	mustCreateBare(t, bare)
	for range 2 {
		mustCreateBare(t, queues)
		mustCreateBare(t, bare)
		for _, text := range []string{"until Manager.Run runs", "without a Notifier"} {
			if got := strings.Count(log.String(), text); got != 1 {
				t.Errorf("that %q is told %d times, want once: %s", fmt.Sprint("... ", text), got, &log)
			}
		}
	}
}
