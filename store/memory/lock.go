package memory

import (
	"context"
	"slices"
	"sync"
)

// lock is a readers-writer lock with two kinds of calls:
//
//   - A short call takes microseconds, such as [Store.Apply]. It holds mu throughout.
//   - A long call is a transaction, a walk over many incidents, or a batch of deletions. It
//     locks mu only to begin and to end.
//
// A queue that hands the lock to its first waiter is fair, but while that goroutine is being
// scheduled nobody has the lock for use. With calls that are shorter than that, two busy
// goroutines would spend most of their time in such handovers. Therefore short calls wait for
// each other on a mutex, which the next goroutine takes without a handover, and which becomes
// fair after a millisecond. Only calls that wait for a long call, and long calls, queue:
//
//  1. A call that must wait for a long call joins the queue, and leaves it when its context ends.
//  2. The end of a long call admits the waiters from the front, as far as they exclude no other.
//     An admitted long call has the lock. An admitted short call still locks mu.
//  3. A long call begins only if nobody is in the queue before it and each admitted short call
//     has locked mu. So neither a series of transactions nor overlapping walks keep a call
//     waiting.
//  4. A short call overtakes the queue if no long call in progress excludes it. The overtaken
//     calls wait for microseconds more.
//
// Waiting for mu ignores the context: only short calls hold mu.
type lock struct {
	mu       sync.Mutex // guards the fields below and, during a short call, the data
	scans    int        // long reads in progress
	owned    bool       // a long write is in progress
	admitted int        // short calls that left the queue and have not locked mu yet
	queue    []*waiter
}

// access is the kind of a call.
type access int

const (
	read  access = iota // a short call that only reads
	write               // a short call
	scan                // a long call that only reads; others may read meanwhile
	own                 // a long call
)

func (a access) isLong() bool { return a == scan || a == own }

// waiter is a call in the queue.
type waiter struct {
	access
	admitted chan struct{} // closed when the waiter has left the queue
}

// acquire locks the data until release. It returns the context's error if ctx ends before.
func (l *lock) acquire(ctx context.Context, a access) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.permits(a) && !(a.isLong() && len(l.queue) > 0) {
		l.begin(a)
		return nil
	}
	w := &waiter{access: a, admitted: make(chan struct{})}
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	select {
	case <-w.admitted:
	case <-ctx.Done():
		l.leave(w)
		return ctx.Err()
	}
	if !a.isLong() {
		l.mu.Lock()
		l.admitted--
	}
	return nil
}

// release ends acquire with the same access.
func (l *lock) release(a access) {
	if a.isLong() {
		l.mu.Lock()
		l.end(a)
	}
	l.admit()
	l.mu.Unlock()
}

// permits reports whether no call in progress, and no admitted short call, excludes a call.
func (l *lock) permits(a access) bool {
	switch a {
	case read:
		return !l.owned
	case write:
		return !l.owned && l.scans == 0
	case scan:
		return !l.owned && l.admitted == 0
	}
	return !l.owned && l.scans == 0 && l.admitted == 0
}

// begin begins a call, and unlocks mu for a long call.
func (l *lock) begin(a access) {
	if a.isLong() {
		l.enter(a)
		l.mu.Unlock()
	}
}

// enter records the begin of a long call.
func (l *lock) enter(a access) {
	if a == scan {
		l.scans++
	} else {
		l.owned = true
	}
}

// end records the end of a long call.
func (l *lock) end(a access) {
	if a == scan {
		l.scans--
	} else {
		l.owned = false
	}
}

// admit admits waiters from the front of the queue.
func (l *lock) admit() {
	for len(l.queue) > 0 && l.permits(l.queue[0].access) {
		w := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		if w.isLong() {
			l.enter(w.access)
		} else {
			l.admitted++
		}
		close(w.admitted)
	}
}

// leave takes back a call whose context has ended.
func (l *lock) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch i := slices.Index(l.queue, w); {
	case i >= 0:
		l.queue = slices.Delete(l.queue, i, i+1)
	case w.isLong():
		l.end(w.access)
	default:
		l.admitted--
	}
	l.admit()
}
