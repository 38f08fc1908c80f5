package incident

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// A doubt says that a write of this process may yet change what the store has under a key:
// its outcome is unknown, or it belongs to a host's transaction that is still open. Until the
// doubt is settled the key is read from the store, and what is read is not cached.
//
// A timer cannot settle it. A statement that waits for a row lock in the server commits
// whenever the lock is released, long after its caller gave up, and without a feed nobody
// tells the cache. Versions do settle it: a change of an incident applies to exactly one
// version, so a read that shows a later one proves that the change either was committed or
// never will be.
//
//   - An incident's doubt is settled by a version above the one that the write expected.
//   - The doubt of a slot that an existing incident claims or releases is that incident's.
//   - A new incident claims its slots whenever they are free, whatever their version. The
//     first read tells from which version on the claim has happened, which settles the
//     doubt, but not before claimDoubt has passed: meanwhile another incident may take and
//     leave the slot, and the claim may follow.
//
// Two bounds keep doubts from piling up. None outlasts doubtLife, and a stripe holds at
// most maxDoubts: beyond that all of its keys are read from the store for as long as the
// doubt that found no room would have lasted. Nothing stale is served at either bound,
// unless a statement stays in the server for longer than doubtLife.
//
// Where a feed tells what is committed, a doubt ends after doubtTTL.
type doubt struct {
	key   string // the one whose versions settle the doubt
	joint bool   // it belongs to a host's transaction, which ends it

	floor    int64         // the lowest version that settles it, 0 if not known yet; guarded by mu of the key's stripe
	earliest time.Duration // no version settles it before; guarded likewise

	settled atomic.Bool
	until   atomic.Int64 // a time.Duration since the coherence began: the doubt ends then
}

const (
	// doubtTTL is how long a doubt lasts where a feed tells what is committed.
	doubtTTL = time.Second

	// claimDoubt is how long a slot is in doubt at least which a new incident may have
	// claimed.
	claimDoubt = time.Minute

	// doubtLife is how long a doubt lasts at most.
	doubtLife = 24 * time.Hour

	// maxDoubts is how many doubts a stripe holds.
	maxDoubts = 64
)

// never is the floor of a doubt that no version settles.
const never = math.MaxInt64

func (c *coherence) newDoubt(key string, floor int64) *doubt {
	d := &doubt{key: key, floor: floor}
	life := doubtLife
	if c.followed {
		life = doubtTTL
	}
	d.until.Store(int64(c.now() + life))
	return d
}

func (d *doubt) open(now time.Duration) bool {
	return !d.settled.Load() && now < time.Duration(d.until.Load())
}

// endBy makes the doubt end at a time, if it would last longer.
func (d *doubt) endBy(at time.Duration) {
	d.until.Store(min(d.until.Load(), int64(at)))
}

// learn settles the doubt if a version that was read or committed does. It is called with
// mu of the key's stripe held.
func (d *doubt) learn(now time.Duration, e CacheEntry) {
	if d.floor == 0 {
		d.floor = e.Version
		if holder, ok := e.value.(*slotHolder); !ok || holder.Identifier == 0 {
			d.floor++ // a free slot: the claim has not happened
		}
	}
	if e.Version >= d.floor && now >= d.earliest {
		d.settled.Store(true)
	}
}

// merge makes one doubt of two of the same key, which is settled when both would be. It is
// called with mu of the key's stripe held.
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

// raise puts a key in doubt: what the cache has of it goes, and loads which began before
// neither fill the cache nor are joined. The doubt may be that of another key. It returns
// the doubt that stands for it from now on.
func (c *coherence) raise(ctx context.Context, key string, d *doubt) *doubt {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = c.published.Add(1)
	g := c.generation.Load()
	c.empty(ctx, g, key)
	c.flight.Forget(key + g.suffix)
	d, ok := s.add(c.now(), key, d)
	if !ok && c.overflown.CompareAndSwap(false, true) {
		c.logger.WarnContext(ctx, "incident: too many writes whose outcome is unknown; a part of the cache is bypassed for a time. "+
			"Check the connection to the store, and that what Manager.Join returns is called after each commit and rollback")
	}
	return d
}

// add adds a doubt of a key to those that there are, and reports whether there was room
// for it. It is called with mu held.
func (s *stripe) add(now time.Duration, key string, d *doubt) (standing *doubt, ok bool) {
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

// prune forgets the doubts that are over. It is called with mu held.
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
func (c *coherence) inDoubt(s *stripe, key string) bool {
	if !s.doubted.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inDoubt(c.now(), key)
}

// inDoubt is called with mu held.
func (s *stripe) inDoubt(now time.Duration, key string) bool {
	if !s.doubted.Load() {
		return false
	}
	s.pruneKey(now, key)
	s.doubted.Store(s.held > 0 || now < s.closed)
	return now < s.closed || len(s.doubts[key]) > 0
}

// learn settles the doubts of a key that a version settles. It is called with mu held.
func (s *stripe) learn(now time.Duration, key string, e CacheEntry) {
	if !s.doubted.Load() {
		return
	}
	for _, d := range s.doubts[key] {
		if d.key == key {
			d.learn(now, e)
		}
	}
}
