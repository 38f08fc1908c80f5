package coherence

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/incidentkit/incident/internal/flight"
)

// Get returns the cached value of key if it may be served and is a T. The value is shared:
// readers copy it before they return it. Get does not keep key, and may write behind its
// end.
func Get[T any](ctx context.Context, c *Engine, key []byte) (v T, ok bool) {
	if !c.serves() {
		c.bypass(ctx)
		return v, false
	}
	s := c.stripeOf(maphash.Bytes(c.seed, key))
	if s.writing.Load() != 0 || s.doubted.Load() && c.inDoubt(s, string(key)) {
		c.counters.misses.Add(1)
		return v, false
	}
	key = append(key, c.generation.Load().suffix...)
	var e Entry
	if c.config.Memory != nil {
		e, ok = c.config.Memory.getBytes(key)
	} else {
		e, ok = c.lookup(ctx, string(key))
	}
	if ok {
		v, ok = e.Value.(T)
	}
	if ok {
		s.hits.Add(1)
	} else {
		c.counters.misses.Add(1)
	}
	return v, ok
}

// bypass counts a look-up that is not made, and logs once that no Feed is at work.
func (c *Engine) bypass(ctx context.Context) {
	if c.config.Cache == nil {
		return
	}
	c.counters.bypassed.Add(1)
	if !c.following.Load() && !c.bypassLogged.Swap(true) {
		c.config.Logger.InfoContext(ctx, "incident: the cache is bypassed until Run follows what other processes write to the store")
	}
}

// Load reads key from the store by calling fetch, once for all concurrent misses of key, and
// fills the cache with the entry of the value. The value is shared.
//
// own reports whether the fetch began within this call. If it did not, the value is current
// for key alone, and not for any other row that it contains.
func Load[T any](ctx context.Context, c *Engine, key string, ttl time.Duration,
	fetch func(context.Context) (T, error), entry func(T) Entry,
) (v T, own bool, err error) {
	s := c.stripe(key)
	alone := func() (T, bool, error) {
		v, err := fetch(ctx)
		if err == nil {
			c.Observe(ctx, key, entry(v))
		}
		return v, true, err
	}
	// A load that began before a write must not be joined after it. During a write and in
	// doubt, the order of the two is unknown.
	if c.off.Load() || s.writing.Load() != 0 || c.inDoubt(s, key) {
		return alone()
	}
	g := c.generation.Load()
	a, err := c.flight.Do(ctx, key+g.suffix, func(ctx context.Context) (any, error) {
		s.loading.Add(1)
		defer s.loading.Add(-1)
		defer c.flight.Forget(key + g.suffix) // before the stripe rests: Observe then forgets no load
		epoch := s.now()
		v, err := fetch(ctx)
		if err == nil {
			c.fill(ctx, g, key, epoch, entry(v), ttl)
		}
		return v, err
	})
	switch {
	case err != nil:
		return v, false, err
	case !a.Own && errors.Is(a.Err, c.config.NotFound):
		return alone() // the write of a new row could not mark its key
	case errors.Is(a.Err, context.DeadlineExceeded) && ctx.Err() == nil:
		return v, a.Own, fmt.Errorf("%w: the store did not answer within %v", c.config.Unavailable, flight.Timeout)
	case !a.Own:
		c.counters.loadsShared.Add(1)
	}
	v, _ = a.Value.(T)
	return v, a.Own, a.Err
}

func (s *stripe) now() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// fill stores a loaded entry, unless its generation has ended or something was published
// since epoch. In that case it still keeps older versions out of the cache: the value of the
// load is returned to its callers, and the cache may hold an older entry that is marked at
// the moment.
func (c *Engine) fill(ctx context.Context, g *generation, key string, epoch uint64, e Entry, ttl time.Duration) {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch && g == c.generation.Load() {
		s.learn(c.now(), key, e)
		if !s.inDoubt(c.now(), key) {
			c.store(ctx, g, key, e, ttl)
		}
		return
	}
	c.counters.staleDrops.Add(1)
	c.keepOut(ctx, g, key, e.Version)
}
