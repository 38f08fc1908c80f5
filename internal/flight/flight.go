// Package flight lets callers that read the same key at the same time share a read of the
// store.
//
// The obvious way is golang.org/x/sync/singleflight: a caller that asks during a read gets its
// answer. That has three faults here:
//
//   - The read has the context of its first caller. When that caller gives up, all others fail.
//   - A read that never answers, on a connection that has gone silent, takes every later
//     caller with it.
//   - An answer may be older than the question. A caller that must see a write that was
//     committed before it asked may not join a read that began before the commit.
//
// A [Group] joins the read in progress, and [Group.Forget] keeps later callers out of it once
// a write has outdated it. A [Next] joins the read after that, and the read begins when all of
// its callers have asked: its answer is current for each of them. In both
//
//   - a shared read has a context of its own, and lasts as long as any caller waits and for
//     [Timeout] at most;
//   - a caller waits for the read of another for a limited time only, and then reads
//     itself or joins a newer read.
package flight

import (
	"context"
	"time"
)

// Timeout bounds a shared read.
const Timeout = 30 * time.Second

// call is a read that several callers wait for.
type call[V any] struct {
	ctx     context.Context // ends when nobody waits any more
	cancel  context.CancelFunc
	waiters int // guarded by mu of the Group or Next

	// The fields below may be read after done is closed.
	done  chan struct{}
	value V
	err   error
}

func newCall[V any](ctx context.Context) *call[V] {
	c := &call[V]{done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

// run reads. panicked makes an error of a panic. No caller could recover the panic in this
// goroutine, and it would end the process.
func (c *call[V]) run(read func(context.Context) (V, error), panicked func(any) error) {
	defer close(c.done)
	defer func() {
		if p := recover(); p != nil {
			c.err = panicked(p)
		}
	}()
	ctx, cancel := context.WithTimeout(c.ctx, Timeout)
	defer cancel()
	c.value, c.err = read(ctx)
}

// wait waits until the call is done, for the given time at most unless that is 0. It
// reports whether the call is done.
func (c *call[V]) wait(ctx context.Context, patience time.Duration) (done bool, err error) {
	var impatient <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	select {
	case <-c.done:
		return true, nil
	case <-impatient:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// leave ends the waiting of a caller, and reports whether it was the last. The caller
// holds mu of the Group or Next.
func (c *call[V]) leave() (last bool) {
	if c.waiters--; c.waiters > 0 {
		return false
	}
	c.cancel()
	return true
}
