package coherence

import (
	"context"
	"hash/maphash"
	"math"
)

// Observe reports a version of key that was read or committed, with its value if that is
// known. Entries of older versions are no longer served, and loads that began before do not
// fill the cache.
func (c *Engine) Observe(ctx context.Context, key string, e Entry) {
	if c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.generation.Load()
	s.learn(c.now(), key, e)
	older := c.keepOut(ctx, g, key, e.Version)
	if !older && c.rests(s) {
		return // otherwise a transaction that reads its keys would overtake its own publication
	}
	c.overtake(g, s, key)
}

// ObserveHolder reports that a slot was held by a row, in an unknown version of the slot. An
// entry with another holder leaves the cache for a moment only, because it may be newer.
// Loads that began before do not fill the cache.
func (c *Engine) ObserveHolder(ctx context.Context, key string, holder int64) {
	if c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.generation.Load()
	e, _ := c.lookup(ctx, key+g.suffix)
	if known, ok := e.Value.(*Holder); ok && known.Identifier != holder {
		c.counters.staleDrops.Add(1)
		c.store(ctx, g, key, Entry{Version: e.Version + 1}, doubtTTL)
	}
	if !c.rests(s) {
		c.overtake(g, s, key)
	}
}

// overtake begins a new epoch of a stripe, and keeps later readers from joining a load of key
// that began before. The caller holds mu of the stripe.
func (c *Engine) overtake(g *generation, s *stripe, key string) {
	s.epoch = c.published.Add(1)
	c.flight.Forget(key + g.suffix)
}

// Knows reports whether observing a version would change nothing, because the cache has no
// older version and none is about to get there. It is for a store whose reads cost no more than Observe.
// If the cache is not a [Memory], it reports true: such a store does not use it enough to
// pay for asking. Knows does not keep key, and may write behind its end.
func (c *Engine) Knows(key []byte, version int64) bool {
	if c.config.Memory == nil {
		return true
	}
	s := c.stripeOf(maphash.Bytes(c.seed, key))
	if !c.rests(s) || s.doubted.Load() {
		return false
	}
	it, ok := c.config.Memory.lookup(string(append(key, c.generation.Load().suffix...)))
	return !ok || it.entry.Version >= version
}

// empty takes the entry of key out of service, whatever its version. The caller holds mu of
// the stripe.
func (c *Engine) empty(ctx context.Context, g *generation, key string) {
	if e, ok := c.lookup(ctx, key+g.suffix); ok && e.Version != math.MaxInt64 {
		c.store(ctx, g, key, Entry{Version: e.Version}, c.config.KeepOut)
		return
	}
	if c.config.Memory == nil {
		// A cache that cannot be asked may have an entry of any version.
		c.store(ctx, g, key, Entry{Version: math.MaxInt64}, doubtTTL)
	}
}

// keepOut replaces an entry of an older version by an entry without a value, and reports
// whether there was any. The caller holds mu of the stripe.
func (c *Engine) keepOut(ctx context.Context, g *generation, key string, version int64) bool {
	e, ok := c.lookup(ctx, key+g.suffix)
	if !ok || e.Version >= version {
		return false
	}
	c.counters.staleDrops.Add(1)
	c.store(ctx, g, key, Entry{Version: version}, c.config.KeepOut)
	return true
}
