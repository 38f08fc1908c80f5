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
	by     map[place]*freshRead // the one in progress
	shared *atomic.Uint64       // counts the calls that a read for several has answered
}

// freshRead is a read in progress, or one that waits for the end of that.
type freshRead struct {
	next *freshRead // begins when this one ends

	// What is below is not of the read of a single caller, which nobody waits for.
	begin   func() (*State, error)
	ctx     context.Context // of the read; it ends when nobody waits any more
	cancel  context.CancelFunc
	waiters int
	done    chan struct{} // closed when there is an answer
	state   *State
	err     error
}

// sharePatience is how long a read of another caller is waited for. The connection of
// that one may be silent, or its context about to end.
const sharePatience = 250 * time.Millisecond

// read returns the state of an incident or of who holds a slot, nil for a free one, as
// it is at some time within the call. It is shared, and must not be changed.
func (r *freshReads) read(ctx context.Context, at place, fetch func(context.Context, place) (*State, error)) (*State, error) {
	current, next := r.join(ctx, at, fetch)
	if next == nil {
		defer r.end(at, current)
		return fetch(ctx, at)
	}
	defer r.leave(next)
	timer := time.NewTimer(sharePatience)
	defer timer.Stop()
	select {
	case <-next.done:
		if next.err == nil {
			r.shared.Add(1)
			return next.state, nil
		}
	case <-timer.C:
		r.drop(at, current)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return fetch(ctx, at)
}

// join returns the read in progress and the next one, to wait for until leave. For the
// first caller there is no next one: the read in progress is its own, and it calls end.
func (r *freshReads) join(ctx context.Context, at place, fetch func(context.Context, place) (*State, error)) (current, next *freshRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	current = r.by[at]
	if current == nil {
		if r.by == nil {
			r.by = map[place]*freshRead{}
		}
		current = &freshRead{}
		r.by[at] = current
		return current, nil
	}
	next = current.next
	if next == nil {
		next = &freshRead{done: make(chan struct{})}
		next.ctx, next.cancel = context.WithCancel(context.WithoutCancel(ctx))
		next.begin = func() (*State, error) {
			ctx, cancel := context.WithTimeout(next.ctx, loadTimeout)
			defer cancel()
			return fetch(ctx, at)
		}
		current.next = next
	}
	next.waiters++
	return current, next
}

// leave ends waiting for a read.
func (r *freshReads) leave(next *freshRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next.waiters--; next.waiters == 0 {
		next.cancel()
	}
}

// drop has nobody else wait for a read that takes too long.
func (r *freshReads) drop(at place, current *freshRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[at] == current {
		delete(r.by, at)
	}
}

// end begins the read after current, if somebody waits for it.
func (r *freshReads) end(at place, current *freshRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := current.next
	if next != nil && next.waiters == 0 {
		next = nil
	}
	if r.by[at] == current {
		if next != nil {
			r.by[at] = next
		} else {
			delete(r.by, at)
		}
	}
	if next == nil {
		return
	}
	go func() {
		defer r.end(at, next)
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
