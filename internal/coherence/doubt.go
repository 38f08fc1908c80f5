package coherence

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// doubt records that a write of this process may still change a key of the store. Its outcome
// is unknown, or it belongs to a transaction of the host that is still open. Until the doubt
// is settled, the key is read from the store and not cached.
//
// The obvious way is a timer, and it is wrong: a statement that waits for a row lock in the
// server commits when the lock is released, long after its caller gave up. Without a feed
// nothing reports that commit to the cache.
//
// Versions settle a doubt. A change applies to exactly one version of a row, so that a read of
// a later version proves that the change was committed or never will be:
//
//   - The doubt of a row is settled by a version above the version that the write expected.
//   - The doubt of a slot that an existing row claims or releases is the doubt of that row.
//   - A new row claims its slots whenever they are free, in any version. The first read of
//     the slot shows the lowest version that includes the claim. That version settles the
//     doubt after claimDoubt at the earliest: until then another row may take and leave the
//     slot, and the claim may follow.
//
// Two bounds limit the number of doubts. A doubt ends after doubtLife, and a stripe holds at
// most maxDoubts. A stripe without room reads all of its keys from the store for as long as
// the doubt would have lasted. A stale value is served at either bound only if a statement
// stays in the server for longer than doubtLife.
//
// A feed reports every commit. With a feed, a doubt ends after doubtTTL.
type doubt struct {
	key   string // the versions of this key settle the doubt
	joint bool   // it belongs to a transaction of the host

	floor    int64         // the lowest version that settles it, or 0 if unknown; guarded by mu of the key's stripe
	earliest time.Duration // no version settles it before this time; guarded likewise

	settled atomic.Bool
	until   atomic.Int64 // the doubt ends at this time.Duration since the Engine began
}

const (
	// doubtTTL is how long a doubt lasts with a feed.
	doubtTTL = time.Second

	// claimDoubt is how long a slot is in doubt at least after a new row may have claimed it.
	claimDoubt = time.Minute

	// doubtLife is how long a doubt lasts at most.
	doubtLife = 24 * time.Hour

	// maxDoubts is how many doubts a stripe holds.
	maxDoubts = 64
)

// never is the floor of a doubt that no version settles.
const never = math.MaxInt64

func (c *Engine) newDoubt(key string, floor int64) *doubt {
	d := &doubt{key: key, floor: floor}
	life := doubtLife
	if c.followed {
		life = doubtTTL
	}
	d.until.Store(int64(c.now() + life))
	return d
}

// open reports whether the doubt is neither settled nor over.
func (d *doubt) open(now time.Duration) bool {
	return !d.settled.Load() && now < time.Duration(d.until.Load())
}

// endBy ends the doubt at a time, unless it ends before.
func (d *doubt) endBy(at time.Duration) {
	d.until.Store(min(d.until.Load(), int64(at)))
}

// learn settles the doubt if the version of an entry that was read or committed does. The
// caller holds mu of the key's stripe.
func (d *doubt) learn(now time.Duration, e Entry) {
	if d.floor == 0 {
		d.floor = e.Version
		if holder, ok := e.Value.(*Holder); !ok || holder.Identifier == 0 {
			d.floor++ // the slot is free, so that the claim has not happened
		}
	}
	if e.Version >= d.floor && now >= d.earliest {
		d.settled.Store(true)
	}
}

// merge adds another doubt of the same key, so that d is settled when both would be. The
// caller holds mu of the key's stripe.
func (d *doubt) merge(other *doubt) {
	if d.floor == 0 || other.floor == 0 {
		d.floor = 0
	} else {
		d.floor = max(d.floor, other.floor)
	}
	d.earliest = max(d.earliest, other.earliest)
	d.until.Store(max(d.until.Load(), other.until.Load()))
	d.settled.Store(false)
}

// setFloor sets the lowest version that settles the doubt, and opens it again.
func (d *doubt) setFloor(c *Engine, version int64) {
	s := c.stripe(d.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.floor = version
	d.settled.Store(false)
}

// raise puts a key in doubt: its entry leaves the cache, and loads that began before neither
// fill the cache nor are joined. The doubt may be that of another key. raise returns the doubt
// in force for key: d, or an older doubt into which d was merged.
func (c *Engine) raise(ctx context.Context, key string, d *doubt) *doubt {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = c.published.Add(1)
	g := c.generation.Load()
	c.empty(ctx, g, key)
	c.flight.Forget(key + g.suffix)
	d, ok := s.add(c.now(), key, d)
	if !ok && c.overflown.CompareAndSwap(false, true) {
		c.config.Logger.WarnContext(ctx, "incident: too many writes whose outcome is unknown; a part of the cache is bypassed for a time. "+
			"Check the connection to the store, and that the function returned by Manager.Join is called after each commit and rollback")
	}
	return d
}

// add adds a doubt of key, and reports whether there was room for it. The caller holds mu.
func (s *stripe) add(now time.Duration, key string, d *doubt) (inForce *doubt, ok bool) {
	for _, other := range s.doubts[key] {
		switch {
		case other == d:
			return d, true
		case other.key == key && d.key == key && !other.joint && !d.joint:
			other.merge(d)
			return other, true
		}
	}
	if s.held >= maxDoubts {
		s.prune(now)
	}
	if s.held >= maxDoubts {
		s.closed = max(s.closed, time.Duration(d.until.Load()))
		s.doubted.Store(true)
		return d, false
	}
	if s.doubts == nil {
		s.doubts = map[string][]*doubt{}
	}
	s.doubts[key] = append(s.doubts[key], d)
	s.held++
	s.doubted.Store(true)
	return d, true
}

// prune removes all doubts that are no longer open. The caller holds mu.
func (s *stripe) prune(now time.Duration) {
	for key := range s.doubts {
		s.pruneKey(now, key)
	}
	s.doubted.Store(s.held > 0 || now < s.closed)
}

func (s *stripe) pruneKey(now time.Duration, key string) {
	all := s.doubts[key]
	open := slices.DeleteFunc(all, func(d *doubt) bool { return !d.open(now) })
	s.held -= len(all) - len(open)
	if len(open) == 0 {
		delete(s.doubts, key)
	} else {
		s.doubts[key] = open
	}
}

// inDoubt reports whether a key must be read from the store.
func (c *Engine) inDoubt(s *stripe, key string) bool {
	if !s.doubted.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inDoubt(c.now(), key)
}

// inDoubt is [Engine.inDoubt] for a caller that holds mu.
func (s *stripe) inDoubt(now time.Duration, key string) bool {
	if !s.doubted.Load() {
		return false
	}
	s.pruneKey(now, key)
	s.doubted.Store(s.held > 0 || now < s.closed)
	return now < s.closed || len(s.doubts[key]) > 0
}

// learn settles the doubts of a key that an entry settles. The caller holds mu.
func (s *stripe) learn(now time.Duration, key string, e Entry) {
	if !s.doubted.Load() {
		return
	}
	for _, d := range s.doubts[key] {
		if d.key == key {
			d.learn(now, e)
		}
	}
}
