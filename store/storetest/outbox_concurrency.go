package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// While others claim and settle, each appended activity is delivered once, in the order
// of its incident, never two at a time, and with the right number of attempts.
func outboxLosesAndRepeatsNothing(t *trial, s incident.OutboxStore) {
	const deliverers, each = 4, 15
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)}
	l := newLedger(keys, each)
	t.together(len(keys)+deliverers, func(i int) {
		if i < len(keys) {
			l.report(appendTo(t.Context(), s, keys[i], each))
		} else {
			l.report(l.deliver(t.Context(), s, t.patience))
		}
	})
	for _, err := range l.errors {
		t.Error(err)
	}
	if len(l.errors) > 0 {
		return
	}
	wantNoClaim(t, s, "after all was delivered or parked")
	wantBacklog(t, s, "after all was delivered or parked", 0, int64(l.parked))
	for _, key := range keys {
		for sequence := int64(3); sequence < 3+each; sequence++ {
			if l.done[activityKey{key, sequence}] != 1 {
				t.Errorf("%s was delivered or parked %d times, want once", activityKey{key, sequence}, l.done[activityKey{key, sequence}])
			}
		}
	}
}

// appendTo appends comments that notify. Every other comment is written in a transaction
// of up to 2 ms.
func appendTo(ctx context.Context, s incident.Store, key incident.Key, n int) error {
	for i := range n {
		write := func(s incident.Store) error {
			_, err := s.Apply(ctx, notifying(comment(key, "text")))
			return err
		}
		var err error
		if i%2 == 0 {
			err = write(s)
		} else {
			err = s.InTx(ctx, func(tx incident.Store) error {
				err := write(tx)
				time.Sleep(rand.N(2 * time.Millisecond))
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("Apply() of a comment that notifies = %w, want no error", err)
		}
		time.Sleep(rand.N(2 * time.Millisecond))
	}
	return nil
}

// ledger is the state that concurrent deliverers share.
type ledger struct {
	mu       sync.Mutex // guards the fields below
	errors   []error
	next     map[incident.Key]int64 // the head of each queue
	claimed  map[incident.Key]bool
	attempts map[incident.Key]int // of the head
	done     map[activityKey]int
	ends     int
	open     int // notifications that are neither delivered nor parked
	parked   int
}

func newLedger(keys []incident.Key, each int) *ledger {
	l := &ledger{
		next: map[incident.Key]int64{}, claimed: map[incident.Key]bool{}, attempts: map[incident.Key]int{},
		done: map[activityKey]int{}, open: len(keys) * each,
	}
	for _, key := range keys {
		l.next[key] = 3
	}
	return l
}

func (l *ledger) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errors = append(l.errors, err)
	}
}

// over reports whether everything is delivered or parked, or a deliverer has failed.
func (l *ledger) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open <= 0 || len(l.errors) > 0
}

// begin records a claim and returns an error if it breaks the contract.
func (l *ledger) begin(c incident.Claim) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[c.Key]++
	switch {
	case l.claimed[c.Key]:
		return fmt.Errorf("%s is claimed while its queue is claimed", activityKey{c.Key, c.Sequence})
	case c.Sequence != l.next[c.Key]:
		return fmt.Errorf("%s is claimed, want activity %d, which is next", activityKey{c.Key, c.Sequence}, l.next[c.Key])
	case c.Attempt != l.attempts[c.Key]:
		return fmt.Errorf("the attempt of %s is %d, want %d", activityKey{c.Key, c.Sequence}, c.Attempt, l.attempts[c.Key])
	}
	l.claimed[c.Key] = true
	return nil
}

// end decides the outcome of a claim. The queue stays claimed until the outcome is
// settled.
func (l *ledger) end(c incident.Claim) incident.Settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claimed[c.Key] = false
	l.ends++
	switch l.ends % 8 {
	case 0:
		return retry(c, rand.N(2*time.Millisecond))
	case 1:
		l.attempts[c.Key]--
		return release(c)
	}
	l.next[c.Key]++
	l.attempts[c.Key] = 0
	l.done[activityKey{c.Key, c.Sequence}]++
	l.open--
	if l.ends%8 == 2 {
		l.parked++
		return park(c, "no receiver")
	}
	return deliver(c)
}

// deliver claims and settles until all is done.
func (l *ledger) deliver(ctx context.Context, s incident.OutboxStore, patience time.Duration) error {
	for start := time.Now(); !l.over(); {
		if time.Since(start) > patience {
			return fmt.Errorf("no queue becomes due, but %d notifications are neither delivered nor parked", l.open)
		}
		claims, err := try(ctx, s, incident.ClaimQuery{Limit: 1 + rand.N(3), PerOrganization: 2, Lease: longLease})
		if err != nil {
			return err
		}
		for _, c := range claims {
			if err := l.begin(c); err != nil {
				return err
			}
		}
		time.Sleep(rand.N(time.Millisecond))
		var ends []incident.Settlement
		for _, c := range claims {
			ends = append(ends, l.end(c))
		}
		if err := settle(ctx, s, patience, ends...); err != nil {
			return err
		}
	}
	return nil
}

// Deliverers that die or return too late delay a queue by no more than a lease. Every
// activity is delivered at least once, and none before those that precede it.
func outboxOutlivesItsUsers(t *trial, s incident.OutboxStore) {
	const deliverers, each = 4, 6
	keys := []incident.Key{mustQueue(t, s, acme, each), mustQueue(t, s, acme, each), mustQueue(t, s, umbrella, each)}
	m := &mortals{sent: map[incident.Key]int64{}}
	for _, key := range keys {
		m.sent[key] = 2
	}
	start := time.Now()
	t.together(deliverers, func(int) {
		for pending := true; pending && time.Since(start) < t.patience; {
			var err error
			if pending, err = m.deliver(t.Context(), s, t.patience); err != nil {
				t.Error(err)
			}
		}
	})
	for _, key := range keys {
		if want := int64(2 + each); m.sent[key] != want {
			t.Errorf("%s was delivered up to activity %d, want %d", key, m.sent[key], want)
		}
	}
	wantBacklog(t, s, "after all was delivered", 0, 0)
}

// mortals are deliverers that never settle every third claim.
type mortals struct {
	mu      sync.Mutex // guards the fields below
	claimed int
	sent    map[incident.Key]int64 // the last activity that was delivered
}

// deliver claims and settles once, and reports whether anything was pending.
func (m *mortals) deliver(ctx context.Context, s incident.OutboxStore, patience time.Duration) (pending bool, err error) {
	b, err := s.Backlog(ctx)
	if err != nil {
		return false, fmt.Errorf("Backlog() = %w, want no error", err)
	}
	if b[""].Pending == 0 {
		return false, nil
	}
	claims, err := try(ctx, s, incident.ClaimQuery{Limit: 2, PerOrganization: 2, Lease: 10 * time.Millisecond})
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
	if next := m.sent[c.Key] + 1; c.Sequence > next {
		return false, fmt.Errorf("%s is claimed before activity %d was delivered", activityKey{c.Key, c.Sequence}, next)
	}
	m.claimed++
	return m.claimed%3 == 1, nil
}

func (m *mortals) mark(c incident.Claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent[c.Key] = max(m.sent[c.Key], c.Sequence)
}
