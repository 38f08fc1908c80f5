package flight

import (
	"context"
	"sync"
	"time"
)

// nextPatience is how long a caller of [Next.Do] waits for a read of others, whose
// connection may be silent.
const nextPatience = 250 * time.Millisecond

// Next shares the read of a key that begins after the one in progress has ended:
//
//   - The first caller of a key reads, in its own goroutine and with its own context.
//   - Callers that come during a read wait for the next read, and share it. It begins after
//     each of them has asked, so that it is current for all. A storm of callers costs
//     consecutive reads, however many callers there are.
//   - A caller that has waited for too long, or whose shared read failed, reads itself.
//     A failure may be the silent connection of another caller, and is not shared.
//
// The zero value is ready to use, except that Panicked must be set. Its methods are safe for
// use by many goroutines.
type Next[K comparable, V any] struct {
	// Panicked returns the error of a shared read that has panicked.
	Panicked func(any) error

	mu    sync.Mutex         // guards byKey, and the next of all rounds
	byKey map[K]*round[K, V] // in progress
}

// round is a read in progress and the read that follows it.
type round[K comparable, V any] struct {
	next *call[V] // nil while nobody waits for it
	read func(context.Context, K) (V, error)
}

// Do returns the value of key at some time within the call. The value may be shared; shared
// reports that the read of another caller has answered this one.
//
// It returns the context's error if ctx ends while it waits for others.
func (n *Next[K, V]) Do(ctx context.Context, key K, read func(context.Context, K) (V, error)) (v V, shared bool, err error) {
	current, next := n.join(ctx, key, read)
	if next == nil {
		defer n.end(key, current)
		v, err = read(ctx, key)
		return v, false, err
	}
	defer n.leave(next)
	done, err := next.wait(ctx, nextPatience)
	switch {
	case err != nil:
		return v, false, err
	case !done:
		n.drop(key, current)
	case next.err == nil:
		return next.value, true, nil
	}
	v, err = read(ctx, key)
	return v, false, err
}

// join returns the round in progress, and the call that follows it for the caller to wait
// for until leave. The first caller gets no call: the round is its own, and it must call end.
func (n *Next[K, V]) join(ctx context.Context, key K, read func(context.Context, K) (V, error)) (current *round[K, V], next *call[V]) {
	n.mu.Lock()
	defer n.mu.Unlock()
	current = n.byKey[key]
	if current == nil {
		if n.byKey == nil {
			n.byKey = map[K]*round[K, V]{}
		}
		current = &round[K, V]{}
		n.byKey[key] = current
		return current, nil
	}
	if current.next == nil {
		current.next, current.read = newCall[V](ctx), read
	}
	current.next.waiters++
	return current, current.next
}

// leave ends the waiting of a caller.
func (n *Next[K, V]) leave(next *call[V]) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next.leave()
}

// drop lets no later caller wait for a round that takes too long.
func (n *Next[K, V]) drop(key K, current *round[K, V]) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byKey[key] == current {
		delete(n.byKey, key)
	}
}

// end ends a round, and begins the next if somebody waits for it.
func (n *Next[K, V]) end(key K, current *round[K, V]) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next, read := current.next, current.read
	isWaited := next != nil && next.waiters > 0
	following := &round[K, V]{}
	if n.byKey[key] == current {
		if isWaited {
			n.byKey[key] = following
		} else {
			delete(n.byKey, key)
		}
	}
	if !isWaited {
		return
	}
	go func() {
		defer n.end(key, following)
		next.run(func(ctx context.Context) (V, error) { return read(ctx, key) }, n.Panicked)
	}()
}
