package incident

import (
	"context"
	"sync"
	"time"
)

// attemptContext is the context of an attempt. It ends with the attempt, at its deadline, or with the
// context of all attempts; attempts ends it in each case. A context of package context has a timer of
// its own, which is set and stopped for each attempt, and an entry in its parent.
type attemptContext struct {
	context.Context // for values; it does not end
	deadline        time.Time

	mu    sync.Mutex // guards the fields below
	err   error
	done  chan struct{}        // nil until somebody asks for it
	after map[*func()]struct{} // of AfterFunc
}

// end ends the context, unless it has ended.
func (c *attemptContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// Deadline implements [context.Context].
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Err implements [context.Context].
func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done implements [context.Context].
func (c *attemptContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// AfterFunc calls f in a goroutine of its own after the context has ended, unless stop is called before.
// Package context uses it for contexts that the notifier derives: otherwise each of those would need a
// goroutine.
func (c *attemptContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, isWaiting := c.after[&f]
		delete(c.after, &f)
		return isWaiting
	}
}
