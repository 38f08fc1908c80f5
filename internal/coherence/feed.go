package coherence

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// feedInterval is how often the changes of other processes are requested.
	feedInterval = 40 * time.Millisecond

	// feedLease is how long entries may be served after a request for the changes. It bounds
	// the age of an answer, whatever happens to the connection or the process.
	feedLease = 750 * time.Millisecond

	// feedFresh is how long a write may be decided on an entry after such a request.
	feedFresh = 250 * time.Millisecond

	// feedPatience is how long the feed is followed after the last read.
	feedPatience = time.Second
)

// Feed follows the changes that other processes commit to the store, and keeps the cache in
// service meanwhile. Its states are:
//
//   - following: it requests the changes every feedInterval. Each answer extends the lease,
//     during which entries are served.
//   - lost: a request failed, or took longer than the lease. It continues to ask. If the
//     store gives its present position but not the changes, a new generation begins at that
//     position.
//   - asleep: nobody has read for feedPatience, and nobody watches. It requests nothing, and
//     its lease is over. The next reader asks the store, and wakes the feed without waiting
//     for it. A feed without a cache begins asleep, since only watchers need it.
//
// A sleeping feed gives up its lease. It could renew the lease when a read finds it expired,
// but a reader that comes every two seconds would then be served entries as old as the lease,
// and not as the interval.
type Feed struct {
	config FeedConfig
	c      *Engine

	// The fields below are for the goroutine of Follow. The position and the time of its
	// request outlast a call of Follow: the next call requests all changes since.
	position string
	asked    time.Duration

	failed bool          // the last request has failed
	read   time.Duration // when the feed last knew of a reader, or was woken
}

// FeedConfig has the parts and settings of a Feed.
type FeedConfig struct {
	// Ask returns the changes since a position, and only the present position if since is
	// empty. It must not panic.
	Ask func(ctx context.Context, since string) (Changes, error)

	// Memory is how long the store remembers changes.
	Memory time.Duration

	// CaughtUp is called after each answer while somebody reads.
	CaughtUp func()

	// Watched reports whether somebody watches the changes. The feed does not sleep then.
	// Wake must be called after the first watcher has come.
	Watched func() bool
}

// Changes are the keys that other processes have changed.
type Changes struct {
	Versions iter.Seq2[string, int64] // by key
	Position string

	// Observed is called after the cache knows the versions.
	Observed func()

	// Reset means that the changes are not known. Versions and Observed are ignored.
	Reset bool
}

// FeedState tells whether the changes of other processes are known.
type FeedState int

// The states of a Feed.
const (
	Lost FeedState = iota
	Following
	Asleep
)

// NewFeed returns the Feed of an Engine. It must be called before the Engine is used. Until
// Follow has a position, the Engine caches nothing.
func (c *Engine) NewFeed(config FeedConfig) *Feed {
	c.followed, c.readers.woken = true, make(chan struct{}, 1)
	return &Feed{config: config, c: c}
}

// State returns the state of the feed and, if it is Following, how long ago the known
// changes were requested.
func (f *Feed) State() (FeedState, time.Duration) {
	now, served := f.c.now(), time.Duration(f.c.served.Load())
	switch {
	case f.c.readers.state.Load() == asleep:
		return Asleep, 0
	case now >= served:
		return Lost, 0
	}
	return Following, now - (served - feedLease)
}

// Knows reports whether every change that was committed before the call has been reported, or
// will be within feedLease while Follow and the store are at work.
func (f *Feed) Knows() bool { return f.c.now() < time.Duration(f.c.served.Load()) }

// Wake ends the sleep of the feed.
func (f *Feed) Wake() { f.c.readers.note() }

// Follow follows the changes until ctx ends. After each answer, entries are served until
// feedLease after the request.
func (f *Feed) Follow(ctx context.Context) {
	c := f.c
	c.following.Store(true)
	defer c.following.Store(false)
	defer c.served.Store(0)
	c.readers.came() // before asking Watched: a later Wake ends the sleep
	if c.config.Cache == nil && !f.config.Watched() {
		c.readers.sleep(ctx, func() {})
	}
	f.read = c.now()
	lost := false
	for ctx.Err() == nil {
		begun := c.now()
		err := f.catchUp(ctx)
		if took := c.now() - f.asked; err == nil && took >= feedLease {
			err = fmt.Errorf("%w: the answer took %v, which is more than %v", c.config.Unavailable, took.Round(time.Millisecond), feedLease)
		}
		if err != nil {
			c.decided.Store(0)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			c.served.Store(int64(f.asked + feedLease))
			c.decided.Store(int64(f.asked + feedFresh))
			if c.now()-f.read < feedPatience {
				f.config.CaughtUp()
			}
			if lost {
				c.config.Logger.InfoContext(ctx, "incident: the feed of changes is back; the cache is served again")
			}
			lost = false
		case !lost:
			c.config.Logger.WarnContext(ctx, "incident: the feed of changes is lost; reading the store until it is back", "error", err)
			lost = true
		}
		if c.readers.came() {
			f.read = c.now()
		} else if !lost && c.now()-f.read >= feedPatience && !f.config.Watched() {
			c.readers.sleep(ctx, func() { c.served.Store(0) })
			f.read = c.now()
			continue
		}
		duration.Pause(ctx, feedInterval-(c.now()-begun))
	}
}

// catchUp observes the changes since the last answer. After a failure it first requests the
// present position: if the changes fail again, it starts over from there.
func (f *Feed) catchUp(ctx context.Context) error {
	var present answer
	if f.failed && f.position != "" {
		var err error
		if present, err = f.ask(ctx, ""); err != nil {
			return err // the store does not answer at all
		}
	}
	since := f.position
	if f.c.now()-f.asked > f.config.Memory {
		since = ""
	}
	a, err := f.ask(ctx, since)
	f.failed = err != nil && ctx.Err() == nil
	switch {
	case err == nil && (since == "" || a.Reset):
		f.startOver(ctx, a, "the changes since the last answer are not known")
	case err == nil:
		f.observe(ctx, a)
	case f.failed && present.Position != "":
		f.startOver(ctx, present, err.Error())
	}
	return err
}

// answer is the answer to a request made at a time.
type answer struct {
	Changes
	asked time.Duration
}

func (f *Feed) ask(ctx context.Context, since string) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, feedLease)
	defer cancel()
	a.asked = f.c.now()
	a.Changes, err = f.config.Ask(ctx, since)
	return a, err
}

// observe reports the changes to the cache.
func (f *Feed) observe(ctx context.Context, a answer) {
	for key, version := range a.Versions {
		f.c.counters.told.Add(1)
		f.c.Observe(ctx, key, Entry{Version: version})
	}
	if a.Observed != nil {
		a.Observed()
	}
	f.position, f.asked = a.Position, a.asked
}

// startOver begins a new generation of entries, and follows from the position of an answer.
func (f *Feed) startOver(ctx context.Context, a answer, reason string) {
	first := f.position == ""
	f.c.startOver()
	f.position, f.asked = a.Position, a.asked
	if first {
		f.c.off.Store(f.c.config.Cache == nil) // from here on, no change is missed
		return
	}
	f.c.counters.resets.Add(1)
	f.c.config.Logger.InfoContext(ctx, "incident: the cache starts over", "reason", reason)
}
