package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// receiver takes notifications, and records errors in them.
type receiver struct {
	mu    sync.Mutex // guards the fields below
	last  map[incident.Key]int64
	n     int
	wrong []string
}

func (r *receiver) Notify(_ context.Context, n incident.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[incident.Key]int64{}
	}
	key := n.Incident.Key()
	if want := r.last[key] + 1; n.Activity.Sequence != want {
		r.wrong = append(r.wrong, fmt.Sprintf("activity %d of %s came, want %d", n.Activity.Sequence, key, want))
	}
	r.last[key] = n.Activity.Sequence
	r.n++
	return nil
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// Activities that are written during deliveries arrive once, and in order.
func TestRelay(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	r := &receiver{}
	m, err := incident.New(s, &incident.Options{Notifier: r, Notify: incident.NotifyOptions{Concurrency: 100}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all, writing sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	const writers, rounds = 8, 50
	for w := range writers {
		writing.Go(func() {
			org := incident.OrganizationID(fmt.Sprint("org-", w%3))
			for range rounds {
				inc, err := m.Create(ctx, incident.NewIncident{OrganizationID: org, Title: "Down"})
				for range 3 {
					if err == nil {
						_, err = m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"})
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	const want = writers * rounds * 5
	for deadline := time.Now().Add(2 * time.Minute); r.count() < want && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	cancel()
	all.Wait()
	if r.count() != want || len(r.wrong) > 0 {
		t.Errorf("%d notifications came, want %d: %v", r.count(), want, r.wrong)
	}
	if b, err := s.Backlog(t.Context()); err != nil || b[""] != (incident.Backlog{}) {
		t.Errorf("at the end the backlog is %+v, %v", b, err)
	}
}

// A long transaction delays the notifications of its own incident only: neither Claim nor
// Settle waits for it.
func TestRelay_longTransaction(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	r := &receiver{}
	hold := make(chan struct{})
	first := make(chan struct{})
	var once sync.Once
	var committed atomic.Bool
	m, err := incident.New(s, &incident.Options{
		Notifier: incident.NotifierFunc(func(ctx context.Context, n incident.Notification) error {
			switch {
			case n.Incident.Identifier == 1 && n.Activity.Sequence == 2:
				once.Do(func() { close(first) })
				<-hold // blocks until the transaction has written
			case n.Incident.Identifier == 2 && !committed.Load():
				return errors.New("nobody listens")
			}
			return r.Notify(ctx, n)
		}),
		Notify: incident.NotifyOptions{Backoff: func(int) time.Duration { return 100 * time.Millisecond }, MaxAttempts: math.MaxInt32},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	held, failing := mustCreateBare(t, m), mustCreateBare(t, m)
	<-first
	err = m.InTx(t.Context(), func(tx incident.Manager) error {
		for _, key := range []incident.Key{held, failing} {
			if _, err := tx.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm"}); err != nil {
				return err
			}
		}
		close(hold)                        // now a delivered notification cannot be settled
		time.Sleep(200 * time.Millisecond) // and a failed notification cannot be claimed when it is due
		created := make(chan struct{})
		go func() { // m refuses calls in the transaction's own goroutine
			defer close(created)
			for range 20 {
				if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
					t.Error(err)
				}
			}
		}()
		<-created
		for deadline := time.Now().Add(time.Minute); r.count() < 2+40 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if n := r.count(); n != 2+40 {
			t.Errorf("beside a transaction that lasts %d notifications came, want all 42 that are not its own", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	committed.Store(true)
	for deadline := time.Now().Add(time.Minute); r.count() < 46 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	cancel()
	all.Wait()
	if r.count() != 46 || len(r.wrong) > 0 {
		t.Errorf("%d notifications came, want 46: %v", r.count(), r.wrong)
	}
}

func mustCreateBare(t *testing.T, m incident.Manager) incident.Key {
	t.Helper()
	inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	if err != nil {
		t.Fatal(err)
	}
	return inc.Key()
}
