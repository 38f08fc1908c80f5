package incident

import (
	"context"
	"fmt"
	"time"
)

const (
	// feedInterval is how often the changes of other processes are asked for.
	feedInterval = 40 * time.Millisecond

	// feedLease is how long after asking what is cached may be served. It bounds how
	// old an answer can be, whatever becomes of the connection or of the process.
	feedLease = 750 * time.Millisecond

	// feedFresh is how long after asking a write may be decided on what is cached.
	feedFresh = 250 * time.Millisecond

	// feedPatience is how long the feed is followed after the last read.
	feedPatience = time.Second
)

// feed is what a Manager knows of the changes of other processes. Its fields are for the
// goroutine that follows them.
//
// The feed is in one of these states:
//
//   - following: it asks for the changes every feedInterval. Each answer prolongs the
//     lease, within which the cache is served.
//   - lost: an answer failed, or took longer than the lease. It goes on asking. If the
//     changes cannot be had though the present position can, it begins anew: a new
//     generation of cache entries is followed from the present position.
//   - asleep: nobody has read for feedPatience. It asks for nothing, and its lease is
//     over. The next read asks the store and wakes the feed without waiting for it.
//
// A sleeping feed gives its lease up, rather than renewing it when a read finds it over:
// otherwise somebody who reads every two seconds would be served entries as old as the
// lease, not as the interval.
type feed struct {
	store FeedStore // nil if there is nothing to follow

	// position is where to go on, and asked when it was asked for. They are kept from one
	// Run to the next: what was written in between is told then.
	position FeedPosition
	asked    time.Duration

	failed bool          // the last call has failed
	read   time.Duration // when somebody was last known to have read
}

// follow asks for changes until ctx ends. What is cached is served for some time after
// each answer, counted from when it was asked for.
func (m *manager) follow(ctx context.Context) {
	c, f := m.coherence, &m.feed
	c.following.Store(true)
	defer c.following.Store(false)
	defer c.serveUntil(0)
	f.read = c.now()
	lost := false
	for ctx.Err() == nil {
		begun := c.now()
		err := m.catchUp(ctx)
		if took := c.now() - f.asked; err == nil && took >= feedLease {
			err = fmt.Errorf("%w: the answer took %v, which is more than %v", ErrUnavailable, took.Round(time.Millisecond), feedLease)
		}
		if err != nil {
			c.decided.Store(0)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			c.serveUntil(f.asked + feedLease)
			c.decided.Store(int64(f.asked + feedFresh))
			if m.relay != nil {
				m.relay.stir()
			}
			if lost {
				m.options.Logger.InfoContext(ctx, "incident: the feed of changes is back; the cache is served again")
			}
			lost = false
		case !lost:
			m.options.Logger.WarnContext(ctx, "incident: the feed of changes is lost; reading the store until it is back", "error", err)
			lost = true
		}
		if c.wasRead() {
			f.read = c.now()
		} else if !lost && c.now()-f.read >= feedPatience {
			c.sleep(ctx)
			f.read = c.now()
			continue
		}
		pause(ctx, feedInterval-(c.now()-begun))
	}
}

// catchUp tells the cache what has changed since the last time. If that has failed
// before, it gives the changes one more chance, and begins anew if only they fail.
func (m *manager) catchUp(ctx context.Context) error {
	f := &m.feed
	var present answer
	if f.failed && f.position != "" {
		var err error
		if present, err = m.ask(ctx, ""); err != nil {
			return err // the store does not answer at all
		}
	}
	since := f.position
	if m.coherence.now()-f.asked > FeedMemory {
		since = ""
	}
	a, err := m.ask(ctx, since)
	f.failed = err != nil && ctx.Err() == nil
	switch {
	case err == nil && (since == "" || a.Reset):
		m.beginAnew(ctx, a, "what has changed since the last answer is not known")
	case err == nil:
		m.tell(ctx, a)
	case f.failed && present.Position != "":
		m.beginAnew(ctx, present, err.Error())
	}
	return err
}

// answer is what the store answers to a question of the time asked.
type answer struct {
	FeedChanges
	asked time.Duration
}

func (m *manager) ask(ctx context.Context, since FeedPosition) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, feedLease)
	defer cancel()
	a.asked = m.coherence.now()
	a.FeedChanges, err = guarded(func() (FeedChanges, error) { return m.feed.store.Changes(ctx, since) })
	return a, err
}

// tell tells the cache what has changed.
func (m *manager) tell(ctx context.Context, a answer) {
	c := m.coherence
	c.counters.told.Add(uint64(len(a.Incidents) + len(a.Slots)))
	for _, v := range a.Incidents {
		c.observe(ctx, v.Key.cacheKey(), v.Version)
	}
	for _, v := range a.Slots {
		c.observe(ctx, v.Slot.cacheKey(), v.Version)
	}
	m.feed.position, m.feed.asked = a.Position, a.asked
}

// beginAnew follows from the position of an answer on, and serves nothing that was cached
// before.
func (m *manager) beginAnew(ctx context.Context, a answer, reason string) {
	first := m.feed.position == ""
	m.coherence.beginGeneration()
	m.feed.position, m.feed.asked = a.Position, a.asked
	if first {
		m.coherence.off.Store(false) // from here on, nothing is missed
		return
	}
	m.coherence.counters.resets.Add(1)
	m.options.Logger.InfoContext(ctx, "incident: the cache begins anew", "reason", reason)
}

// The values of attention.
const (
	unread int32 = iota // not read since the feed looked last
	wanted              // read since
	asleep              // the feed sleeps until somebody reads
)

// wasRead reports whether somebody has read from the cache, or would have, since the last
// call.
func (c *coherence) wasRead() bool { return c.attention.CompareAndSwap(wanted, unread) }

// sleep ends the service from the cache and waits until somebody reads, or ctx ends.
func (c *coherence) sleep(ctx context.Context) {
	if !c.attention.CompareAndSwap(unread, asleep) {
		return
	}
	c.serveUntil(0)
	select {
	case <-c.woken:
	case <-ctx.Done():
		if c.attention.Swap(wanted) != asleep {
			<-c.woken // somebody is about to wake it
		}
	}
}

// want notes that somebody reads, and wakes a feed that sleeps.
func (c *coherence) want() {
	if c.attention.Swap(wanted) == asleep {
		c.woken <- struct{}{} // which has room for one a sleep
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
