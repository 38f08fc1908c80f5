package incident

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// freshReads are the reads of the store that writes are decided on. Callers who ask
// for the same incident or slot while it is being read share the next read: it begins
// after all of them have asked, so that it is fresh for each. A storm of firings of
// one trigger costs a read after the other, however many fire it.
type freshReads struct {
	mu     sync.Mutex           // guards by, and next of all in it
	by     map[place]*freshRead // the one on its way
	shared *atomic.Uint64       // counts the calls that a read for several has answered
}

// freshRead is a read on its way, or one that waits for the end of that.
type freshRead struct {
	next *freshRead // begins when this one ends

	// What is below is not of the read of a single caller, which nobody waits for.
	begin func() (*State, error)
	done  chan struct{} // closed when there is an answer
	state *State
	err   error
}

// sharePatience is how long a read of another caller is waited for. The connection of
// that one may be silent, or its context about to end.
const sharePatience = 250 * time.Millisecond

// read returns the state of an incident or of who holds a slot, nil for a free one, as
// it is at some time within the call. It is shared, and must not be changed.
func (r *freshReads) read(ctx context.Context, at place, fetch func(context.Context, place) (*State, error)) (*State, error) {
	next := r.join(at, func() (*State, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return fetch(ctx, at)
	})
	if next == nil {
		defer r.end(at)
		return fetch(ctx, at)
	}
	timer := time.NewTimer(sharePatience)
	defer timer.Stop()
	select {
	case <-next.done:
		if next.err == nil {
			r.shared.Add(1)
			return next.state, nil
		}
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return fetch(ctx, at)
}

// join returns the read to wait for, nil for who is the first. Who gets none reads, and
// calls end.
func (r *freshReads) join(at place, begin func() (*State, error)) *freshRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.by[at]
	if current == nil {
		if r.by == nil {
			r.by = map[place]*freshRead{}
		}
		r.by[at] = &freshRead{}
		return nil
	}
	if current.next == nil {
		current.next = &freshRead{begin: begin, done: make(chan struct{})}
	}
	return current.next
}

// end begins the next read, if somebody waits for it.
func (r *freshReads) end(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.by[at].next
	if next == nil {
		delete(r.by, at)
		return
	}
	r.by[at] = next
	go func() {
		defer r.end(at)
		defer close(next.done)
		// A panic here would end the process: nobody could recover it.
		defer func() {
			if p := recover(); p != nil {
				next.err = fmt.Errorf("%w: the store panicked: %v", ErrUnavailable, p)
			}
		}()
		next.state, next.err = next.begin()
	}()
}
