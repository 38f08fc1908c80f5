package flight

import (
	"context"
	"sync"
	"time"
)

// groupPatience is how long a caller of [Group.Do] waits for the read of another before it
// begins the next. It doubles with each read that the caller has waited for in vain, so
// that a slow store is not asked ever more often.
const groupPatience = 1200 * time.Millisecond

// Group shares the read in progress of a key. The zero value is ready to use, except that
// Panicked must be set. Its methods are safe for use by many goroutines.
type Group[K comparable, V any] struct {
	// Panicked returns the error of a read that has panicked.
	Panicked func(any) error

	mu    sync.Mutex // guards byKey and the waiters of all calls
	byKey map[K]*call[V]
}

// Answer is the outcome of a read.
type Answer[V any] struct {
	Value V
	Err   error

	// Own reports that the read began within this call of [Group.Do].
	Own bool
}

// Do returns the answer of the read of key in progress, and begins a read if there is none. It
// waits for the reads of others for a limited time, and for its own until ctx ends. All
// callers of the read share the value.
//
// It returns the context's error if ctx ends first. The error of the read is in the Answer.
func (g *Group[K, V]) Do(ctx context.Context, key K, read func(context.Context) (V, error)) (Answer[V], error) {
	for patience := groupPatience; ; patience *= 2 {
		c, own := g.join(ctx, key, read)
		limit := patience
		if own {
			limit = 0
		}
		done, err := c.wait(ctx, limit)
		g.leave(key, c, !done && err == nil)
		switch {
		case err != nil:
			return Answer[V]{}, err
		case done:
			return Answer[V]{Value: c.value, Err: c.err, Own: own}, nil
		}
	}
}

// Forget lets no later caller join the present read of key.
func (g *Group[K, V]) Forget(key K) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.byKey, key)
}

// join waits for the read of key until leave. It begins a read if none is in progress, and
// then reports that it is the caller's own.
func (g *Group[K, V]) join(ctx context.Context, key K, read func(context.Context) (V, error)) (c *call[V], own bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.byKey[key]; c != nil {
		c.waiters++
		return c, false
	}
	if g.byKey == nil {
		g.byKey = map[K]*call[V]{}
	}
	c = newCall[V](ctx)
	c.waiters = 1
	g.byKey[key] = c
	go func() {
		defer c.cancel()
		c.run(func(ctx context.Context) (V, error) {
			defer g.drop(key, c)
			return read(ctx)
		}, g.Panicked)
	}()
	return c, true
}

// leave ends the waiting of a caller. isStuck lets no later caller join the read.
func (g *Group[K, V]) leave(key K, c *call[V], isStuck bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.leave() || isStuck {
		g.remove(key, c)
	}
}

// drop lets no later caller join a read.
func (g *Group[K, V]) drop(key K, c *call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(key, c)
}

// remove is drop for a caller that holds mu.
func (g *Group[K, V]) remove(key K, c *call[V]) {
	if g.byKey[key] == c {
		delete(g.byKey, key)
	}
}
