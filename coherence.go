package incident

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/flight"
)

// coherence is the read-through logic: it keeps the cache in step with the
// writes of this process, so that a cached read is as good as one of the store.
//
//   - A write marks its keys before it is applied and until it is published.
//     Meanwhile they are read from the store: nobody is served the old version
//     after somebody saw the new one.
//   - A write publishes after its commit and before it is acknowledged. What it marked
//     and cannot publish leaves the cache; if its outcome is unknown, the key is in
//     [doubt].
//   - What other processes write is observed: in their changes, and in whatever this
//     process reads from the store. Entries of older versions are served no more.
//   - A load fills the cache only if no write of its key was published since it
//     began, and a write publishes its own version only if none was since it
//     began. Otherwise an older version could follow a newer one that the cache
//     has dropped by then.
type coherence struct {
	cache  Cache
	own    *memoryCache // the cache, if it is one of this package: it does not panic
	logger *slog.Logger

	generation atomic.Pointer[generation] // of the entries that may be served

	// off means that no entry is served or stored.
	off atomic.Bool

	// followed means that other processes write too, and that entries are served up
	// to a time since born. observedTTL is how long an entry is kept out.
	followed    bool
	born        time.Time
	served      atomic.Int64
	decided     atomic.Int64 // as served, for writes that are decided on an entry
	observedTTL time.Duration

	// following means that the feed is followed; attention is what it knows of readers,
	// and woken ends its sleep. Readers write to attention only when it changes.
	following atomic.Bool
	attention atomic.Int32
	woken     chan struct{}

	creating  atomic.Int32 // publications of new incidents on their way, which have no key to mark
	overflown atomic.Bool  // there were more doubts than a stripe holds

	flight    flight.Group[string, any]
	published atomic.Uint64 // numbers the publications
	seed      maphash.Seed
	stripes   [1024]stripe
	counters  counters

	bypassLogged atomic.Bool
}

// stripe stands for the keys of one hash. Keys that share one cost each other a
// read of the store now and then, and never a wrong answer.
type stripe struct {
	writing atomic.Int32  // writes that are marked and not yet published
	loading atomic.Int32  // loads on their way that may fill the cache
	doubted atomic.Bool   // keys may be in doubt
	hits    atomic.Uint64 // look-ups that the cache answered

	mu     sync.Mutex          // makes comparing the epoch and filling one step; guards what is below
	epoch  uint64              // a number that changes with each publication
	doubts map[string][]*doubt // by key
	held   int                 // how many there are in doubts
	closed time.Duration       // all keys are in doubt until then
}

func newCoherence(cache Cache, logger *slog.Logger, shared bool) *coherence {
	c := &coherence{cache: cache, logger: logger, born: time.Now(), seed: maphash.MakeSeed(), observedTTL: DefaultCacheTTL}
	c.own, _ = cache.(*memoryCache)
	c.flight.Panicked = storePanicked
	c.beginGeneration()
	c.off.Store(shared || cache == NoCache)
	return c
}

// follows makes the cache one that is served while the writes of other processes are
// known. It stays off until there is a position to follow them from.
func (c *coherence) follows(ttl time.Duration) {
	c.followed, c.observedTTL, c.woken = true, ttl, make(chan struct{}, 1)
}

// now is the time since the coherence began, by a clock that nobody sets.
func (c *coherence) now() time.Duration { return time.Since(c.born) }

func (c *coherence) serveUntil(t time.Duration) { c.served.Store(int64(t)) }

// serves reports whether entries may be served to somebody who reads.
func (c *coherence) serves() bool {
	if !c.followed || c.off.Load() {
		return !c.off.Load()
	}
	if c.attention.Load() != wanted {
		c.want()
	}
	return c.now() < time.Duration(c.served.Load())
}

// decides reports whether a write may be decided on an entry. A store refuses a write that
// was decided on an old version, but not one that was decided on a version which it has
// lost and counted again since. So these entries are served for a shorter time, which an
// error of the feed ends at once: before a server that has lost something takes writes.
func (c *coherence) decides() bool {
	return c.serves() && (!c.followed || c.now() < time.Duration(c.decided.Load()))
}

// observe keeps versions out of the cache that are older than one which this process
// has seen, and loads which began before from filling it.
func (c *coherence) observe(ctx context.Context, key string, version int64) {
	c.observeEntry(ctx, key, CacheEntry{Version: version})
}

// observeEntry is observe for a version of which the value may be known too.
func (c *coherence) observeEntry(ctx context.Context, key string, e CacheEntry) {
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
		return // a transaction reads what it changes: its own publication is not overtaken by that
	}
	s.epoch = c.published.Add(1)
	c.flight.Forget(key + g.suffix)
}

// observeHolder takes the entry of a slot out of service that knows of another holder, and
// keeps loads which began before from filling it.
func (c *coherence) observeHolder(ctx context.Context, key string, holder int64) {
	if c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := c.generation.Load()
	e, _ := c.lookup(ctx, key+g.suffix)
	if known, ok := e.value.(*slotHolder); ok && known.Identifier != holder {
		c.counters.staleDrops.Add(1)
		c.store(ctx, g, key, CacheEntry{Version: e.Version + 1}, doubtTTL) // for a moment: the entry may be the newer one
	}
	if !c.rests(s) {
		s.epoch = c.published.Add(1)
		c.flight.Forget(key + g.suffix)
	}
}

// rests reports whether nothing is on its way that could put an entry into the cache.
func (c *coherence) rests(s *stripe) bool {
	return s.writing.Load() == 0 && s.loading.Load() == 0 && c.creating.Load() == 0
}

// knows reports whether a version of a key tells the cache nothing, so that observe may
// be spared: no older one is there or on its way. It is for a store whose reads cost no
// more than observe does. The key is not kept.
func (c *coherence) knows(key []byte, version int64) bool {
	s := c.stripeOf(maphash.Bytes(c.seed, key))
	if !c.rests(s) || s.doubted.Load() {
		return false
	}
	item, ok := c.own.lookup(string(append(key, c.generation.Load().suffix...)))
	return !ok || item.entry.Version >= version
}

// empty takes what the cache has under a key out of service, whatever its version. It is
// called with the lock of the key's stripe held.
func (c *coherence) empty(ctx context.Context, g *generation, key string) {
	if e, ok := c.lookup(ctx, key+g.suffix); ok && e.Version != math.MaxInt64 {
		c.store(ctx, g, key, CacheEntry{Version: e.Version}, c.observedTTL)
		return
	}
	if c.own == nil {
		// A cache that could not be asked may have an entry of any version.
		c.store(ctx, g, key, CacheEntry{Version: math.MaxInt64}, doubtTTL)
	}
}

// keepOut replaces an entry of an older version by one that is not served, and reports
// whether there was one. It is called with the lock of the key's stripe held.
func (c *coherence) keepOut(ctx context.Context, g *generation, key string, version int64) bool {
	e, ok := c.lookup(ctx, key+g.suffix)
	if !ok || e.Version >= version {
		return false
	}
	c.counters.staleDrops.Add(1)
	c.store(ctx, g, key, CacheEntry{Version: version}, c.observedTTL)
	return true
}

func (c *coherence) stripe(key string) *stripe {
	return c.stripeOf(maphash.String(c.seed, key))
}

func (c *coherence) stripeOf(hash uint64) *stripe { return &c.stripes[hash%uint64(len(c.stripes))] }

// get returns a cached value that may be served. It is shared: readers must
// copy what they return. The key is not kept.
func get[T any](ctx context.Context, c *coherence, key []byte) (v T, ok bool) {
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
	var e CacheEntry
	if c.own != nil {
		e, ok = c.own.get(key)
	} else {
		e, ok = c.lookup(ctx, string(key))
	}
	if ok {
		v, ok = e.value.(T)
	}
	if ok {
		s.hits.Add(1)
	} else {
		c.counters.misses.Add(1)
	}
	return v, ok
}

// bypass counts a look-up that is not made, and says once if nobody follows.
func (c *coherence) bypass(ctx context.Context) {
	if c.cache == NoCache {
		return
	}
	c.counters.bypassed.Add(1)
	if !c.following.Load() && !c.bypassLogged.Swap(true) {
		c.logger.InfoContext(ctx, "incident: the cache is bypassed until Run follows what other processes write to the store")
	}
}

// load reads through: it fetches from the store, once for all who miss the key
// at the same time, and fills the cache with what entry makes of it. The result
// is shared. It is own if the fetch began within this call; otherwise it is
// right as of this call about key alone, and not about what else it contains.
func load[T any](ctx context.Context, c *coherence, key string, ttl time.Duration,
	fetch func(context.Context) (T, error), entry func(T) CacheEntry,
) (v T, own bool, err error) {
	// A load that began before a write may not be joined after it. While a write
	// is on its way, or its outcome in doubt, nobody knows which it is.
	s := c.stripe(key)
	if c.off.Load() || s.writing.Load() != 0 || c.inDoubt(s, key) {
		if v, err = fetch(ctx); err == nil {
			c.observeEntry(ctx, key, entry(v))
		}
		return v, true, err
	}
	g := c.generation.Load()
	a, err := c.flight.Do(ctx, key+g.suffix, func(ctx context.Context) (any, error) {
		s.loading.Add(1)
		defer s.loading.Add(-1)
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
	case !a.Own && errors.Is(a.Err, ErrNotFound):
		// A write that makes something new cannot mark its key beforehand.
		if v, err = fetch(ctx); err == nil {
			c.observeEntry(ctx, key, entry(v))
		}
		return v, true, err
	case errors.Is(a.Err, context.DeadlineExceeded) && ctx.Err() == nil:
		return v, a.Own, fmt.Errorf("%w: the store did not answer within %v", ErrUnavailable, flight.Timeout)
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

// fill stores what was loaded in a generation, unless that has ended or a write was
// published since epoch. In the latter case it still keeps older versions out: what was
// loaded is returned, and an older entry may lie in the cache, where it is not served at
// the moment.
func (c *coherence) fill(ctx context.Context, g *generation, key string, epoch uint64, e CacheEntry, ttl time.Duration) {
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

// lookup asks the cache for a key that ends with the suffix of a generation, and
// bypasses the cache if it panics.
func (c *coherence) lookup(ctx context.Context, key string) (e CacheEntry, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.logger.ErrorContext(ctx, "incident: the cache panicked; reading the store instead", "panic", p)
			ok = false
		}
	}()
	return c.cache.Get(ctx, key)
}

// store puts an entry of a generation. A cache that panics may have kept an older one
// and is not asked again.
func (c *coherence) store(ctx context.Context, g *generation, key string, e CacheEntry, ttl time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			c.off.Store(true)
			c.logger.ErrorContext(ctx, "incident: the cache panicked on a write; it is not used any more", "panic", p)
		}
	}()
	c.cache.Put(ctx, key+g.suffix, e, ttl)
}
