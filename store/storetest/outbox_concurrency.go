package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// While others claim and settle, each appended activity is delivered once to each notifier, in
// the order of its incident, never two at a time, and with the right number of attempts.
func outboxLosesAndRepeatsNothing(t *trial, s incident.OutboxStore) {
	const deliverers, each = 6, 15
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)}
	l := newLedger(keys, each)
	t.together(len(keys)+deliverers, func(i int) {
		if i < len(keys) {
			l.report(appendTo(t.Context(), s, keys[i], each))
		} else {
			l.report(l.deliver(t.Context(), s, someNotifiers()[i%3], t.patience))
		}
	})
	for _, err := range l.errors {
		t.Error(err)
	}
	if len(l.errors) > 0 {
		return
	}
	for _, name := range someNotifiers() {
		wantNoClaimOf(t, s, name, "after all was delivered or parked")
		wantBacklogOf(t, s, name, "after all was delivered or parked", counts{parked: l.parked[name]})
		for _, key := range keys {
			for sequence := int64(3); sequence < 3+each; sequence++ {
				if n := l.done[delivery{queueName{Key: key, notifier: name}, sequence}]; n != 1 {
					t.Errorf("%s was delivered to notifier %q or parked %d times, want once", activityKey{key, sequence}, name, n)
				}
			}
		}
	}
}

// appendTo appends comments that notify. Every other comment is written in a transaction
// of up to 2 ms.
func appendTo(ctx context.Context, s incident.Store, key incident.Key, n int) error {
	for i := range n {
		write := func(s incident.Store) error {
			_, err := s.Apply(ctx, notifyingTo(comment(key, "text"), someNotifiers()...))
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

// delivery is an activity for a notifier.
type delivery struct {
	queue    queueName
	sequence int64
}

// ledger is the state that concurrent deliverers share.
type ledger struct {
	mu       sync.Mutex // guards the fields below
	errors   []error
	next     map[queueName]int64 // the head of each queue
	claimed  map[queueName]bool
	attempts map[queueName]int // of the head
	done     map[delivery]int
	ends     int
	open     map[string]int   // by notifier: notifications that are neither delivered nor parked
	parked   map[string]int64 // by notifier
}

func newLedger(keys []incident.Key, each int) *ledger {
	l := &ledger{
		next: map[queueName]int64{}, claimed: map[queueName]bool{}, attempts: map[queueName]int{},
		done: map[delivery]int{}, open: map[string]int{}, parked: map[string]int64{},
	}
	for _, name := range someNotifiers() {
		l.open[name] = len(keys) * each
		for _, key := range keys {
			l.next[queueName{Key: key, notifier: name}] = 3
		}
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

// over reports whether everything of a notifier is delivered or parked, or a deliverer has failed.
func (l *ledger) over(notifier string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[notifier] <= 0 || len(l.errors) > 0
}

// begin records a claim and returns an error if it breaks the contract.
func (l *ledger) begin(c incident.Claim) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := queueOf(c.Ticket)
	l.attempts[queue]++
	switch {
	case l.claimed[queue]:
		return fmt.Errorf("%s is claimed while its queue is claimed", activityKey{c.Key, c.Sequence})
	case c.Sequence != l.next[queue]:
		return fmt.Errorf("%s is claimed, want activity %d, which is next", activityKey{c.Key, c.Sequence}, l.next[queue])
	case c.Attempt != l.attempts[queue]:
		return fmt.Errorf("the attempt of %s is %d, want %d", activityKey{c.Key, c.Sequence}, c.Attempt, l.attempts[queue])
	}
	l.claimed[queue] = true
	return nil
}

// end decides the outcome of a claim. The queue stays claimed until the outcome is
// settled.
func (l *ledger) end(c incident.Claim) incident.Settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := queueOf(c.Ticket)
	l.claimed[queue] = false
	l.ends++
	switch l.ends % 8 {
	case 0:
		return retry(c, rand.N(2*time.Millisecond))
	case 1:
		l.attempts[queue]--
		return release(c)
	}
	l.next[queue]++
	l.attempts[queue] = 0
	l.done[delivery{queue, c.Sequence}]++
	l.open[c.Notifier]--
	if l.ends%8 == 2 {
		l.parked[c.Notifier]++
		return park(c, "no receiver")
	}
	return deliver(c)
}

// deliver claims and settles until all of a notifier is done.
func (l *ledger) deliver(ctx context.Context, s incident.OutboxStore, notifier string, patience time.Duration) error {
	for start := time.Now(); !l.over(notifier); {
		if time.Since(start) > patience {
			return fmt.Errorf("no queue of notifier %q becomes due, but notifications are neither delivered nor parked", notifier)
		}
		q := incident.ClaimQuery{Limit: 1 + rand.N(3), PerOrganization: 2, Lease: longLease}
		q.Notifier = notifier
		claims, err := try(ctx, s, q)
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
