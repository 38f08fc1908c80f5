package coherence

import (
	"context"
	"math"
	"time"
)

// Deletion is the cache update of a deletion or change of rows that the store selects. Their keys are
// not known before the commit, so that they cannot be marked as a [Publication] marks its keys.
//
//  1. [Engine.BeginDeletion] begins it, before the store is called.
//  2. After the commit and before its caller hears of it, Deleted and Changed take each key out of
//     service.
//  3. If the keys are not known, Unknown takes all keys out of service.
//  4. End ends it.
//
// Between the commit and step 2, a reader may find no row in the store, and the next reader an
// entry in the cache. So a reader that finds no row calls [Engine.Absent]. CheckHistory does not
// take a missing row for a lost commit meanwhile.
type Deletion struct {
	c *Engine
}

// BeginDeletion returns a Deletion. The caller must call End.
func (c *Engine) BeginDeletion() Deletion {
	c.deleting.Add(1)
	return Deletion{c}
}

// End ends the Deletion.
func (d Deletion) End() { d.c.deleting.Add(-1) }

// Deleted reports that the row of a key was deleted at a version above all versions of the row.
// No version of the key is served again, and loads that began before do not fill the cache. It
// does so even if ctx has ended, since the row is gone.
//
// The entry that keeps older versions out has the highest version, so that CheckHistory does not
// compare it with a later read, which finds no row.
func (d Deletion) Deleted(ctx context.Context, key string, version int64) {
	d.takeOut(ctx, key, version, math.MaxInt64)
}

// Changed reports that the row of a key has a version. Unlike [Engine.Observe] it trusts no cache to
// answer whether there is an older entry.
func (d Deletion) Changed(ctx context.Context, key string, version int64) {
	d.takeOut(ctx, key, version, version)
}

// takeOut replaces the entry of a key by an entry without a value, which keeps versions below keepOut
// out of the cache.
func (d Deletion) takeOut(ctx context.Context, key string, version, keepOut int64) {
	c := d.c
	if c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.generation.Load()
	s.learn(c.now(), key, Entry{Version: version})
	cached := true // a cache that cannot be asked may have an entry
	if c.config.Memory != nil {
		_, cached = c.config.Memory.lookup(key + g.suffix)
	}
	if cached {
		c.counters.staleDrops.Add(1)
		c.store(context.WithoutCancel(ctx), g, key, Entry{Version: keepOut}, c.config.KeepOut)
	} else if c.rests(s) {
		return
	}
	c.overtake(g, s, key)
}

// Unknown reports that rows may have been deleted or changed whose keys are not known. A
// generation begins. The deletion may still be committed later: a feed reports that, and without
// a feed all keys are in doubt for claimDoubt. A stale value is served after that only if a
// deletion stays in the server for longer.
func (d Deletion) Unknown(ctx context.Context, reason string) {
	c := d.c
	if !c.followed {
		until := c.now() + claimDoubt
		for i := range c.stripes {
			c.stripes[i].close(until)
		}
	}
	c.StartOver(ctx, reason)
}

// close puts all keys of the stripe in doubt until a time.
func (s *stripe) close(until time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = max(s.closed, until)
	s.doubted.Store(true)
}

// Absent reports that a read has found no row of key. An entry of the key leaves the cache, and
// loads that began before do not fill the cache.
func (c *Engine) Absent(ctx context.Context, key string) {
	if c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.generation.Load()
	e, ok := c.lookup(ctx, key+g.suffix)
	switch {
	case ok && e.Value != nil:
		c.counters.staleDrops.Add(1)
		c.store(ctx, g, key, Entry{Version: e.Version}, c.config.KeepOut)
	case !ok && c.config.Memory == nil:
		// A cache that cannot be asked may have an entry of any version.
		c.store(ctx, g, key, Entry{Version: math.MaxInt64}, doubtTTL)
	case c.rests(s):
		return
	}
	c.overtake(g, s, key)
}
