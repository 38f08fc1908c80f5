package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// Deliverers that die or return too late delay a queue by no more than a lease. Every activity is
// delivered to each notifier at least once, and none before those that precede it. So is every
// reminder.
func outboxOutlivesItsUsers(t *trial, s incident.OutboxStore) {
	const deliverers, each = 6, 6
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)}
	m := &mortals{sent: map[queueName]int64{}}
	want := map[queueName]int64{}
	for i, key := range keys {
		for range each {
			mustNotifyTo(t, s, key, someNotifiers()...)
		}
		r := reminder("mortal", someNotifiers()[i])
		mustRemind(t, s, key, r)
		want[queueName{Key: key, notifier: r.Notifier, reminder: r.Name}] = r.At.UnixMicro()
		for _, name := range someNotifiers() {
			queue := queueName{Key: key, notifier: name}
			m.sent[queue], want[queue] = 2, 2+each
		}
	}
	start := time.Now()
	t.together(deliverers, func(i int) {
		for pending := true; pending && time.Since(start) < t.patience; {
			var err error
			if pending, err = m.deliver(t.Context(), s, someNotifiers()[i%3], t.patience); err != nil {
				t.Error(err)
			}
		}
	})
	for queue, sequence := range want {
		if m.sent[queue] != sequence {
			t.Errorf("%+v was delivered up to %d, want %d", queue, m.sent[queue], sequence)
		}
	}
	wantBacklogs(t, s, "after all was delivered", map[string]counts{})
}

// mortals are deliverers that never settle every third claim.
type mortals struct {
	mu      sync.Mutex // guards the fields below
	claimed int
	sent    map[queueName]int64 // the last sequence that was delivered
}

// deliver claims and settles once, and reports whether anything was pending.
func (m *mortals) deliver(ctx context.Context, s incident.OutboxStore, notifier string, patience time.Duration) (pending bool, err error) {
	b, err := s.Backlog(ctx)
	if err != nil {
		return false, fmt.Errorf("Backlog() = %w, want no error", err)
	}
	if b[notifier].Pending == 0 {
		return false, nil
	}
	q := incident.ClaimQuery{Limit: 2, PerOrganization: 2, Lease: 10 * time.Millisecond}
	q.Notifier = notifier
	claims, err := try(ctx, s, q)
	if err != nil {
		return false, err
	}
	for _, c := range claims {
		dies, err := m.begin(c)
		if err != nil {
			return false, err
		}
		if dies {
			continue
		}
		time.Sleep(rand.N(15 * time.Millisecond)) // the lease may expire
		m.mark(c)
		if err := settle(ctx, s, patience, deliver(c)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// begin checks the order of a claim, and decides whether its deliverer dies.
func (m *mortals) begin(c incident.Claim) (dies bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if next := m.sent[queueOf(c.Ticket)] + 1; c.Reminder == nil && c.Sequence > next {
		return false, fmt.Errorf("%s is claimed before activity %d was delivered", activityKey{c.Key, c.Sequence}, next)
	}
	m.claimed++
	return m.claimed%3 == 1, nil
}

func (m *mortals) mark(c incident.Claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := queueOf(c.Ticket)
	m.sent[queue] = max(m.sent[queue], c.Sequence)
}
