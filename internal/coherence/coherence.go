// Package coherence keeps a cache in step with the store behind it, so that a cached read is
// as good as a read of the store.
//
// The obvious way is to put a value into the cache after each read and to replace it after
// each write. It fails in four ways, since reads and writes overlap:
//
//   - A read that began before a write may end after it, and put the old value back.
//   - Between a commit and the update of the cache, a reader may see the new value in the
//     store, and the next reader the old value in the cache.
//   - The reply to a commit may be lost. Then the old or the new value may be true.
//   - Another process may write, and the cache does not hear of it.
//
// Every value has a version that the store counts, and a [Cache] never replaces a version by a
// lower version. That alone is not enough, since a cache may drop the newer entry at any time.
// The [Engine] adds these rules:
//
//   - A write marks its keys before it is applied. Marked keys are read from the store.
//   - After its commit and before its caller hears of it, a write publishes: its values go
//     into the cache, and the marks end. A marked key without a value leaves the cache. See
//     [Publication].
//   - If the outcome of a write is unknown, its keys are in doubt: they are read from the
//     store until a version shows the outcome. See doubt.
//   - A [Feed] observes the versions that other processes have committed, and the Manager
//     observes those that it happens to read. Older entries are no longer served.
//   - A load fills the cache only if nothing was published for its key since the load
//     began. A write publishes its value under the same condition.
//   - If the store itself goes back in time, all entries end at once. See generation.
//   - A deletion takes the keys out of service that the store has deleted. See [Deletion].
//
// "Since the load began" is decided by epochs: each publication has a number, and the stripe of
// a key keeps the highest as its epoch. The epoch is compared and the cache filled under the
// lock of the stripe, so that no publication can come between.
package coherence

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/flight"
)

// Cache keeps versioned entries by key. It is safe for use by many goroutines.
type Cache interface {
	// Get returns the entry of key, and false if there is none.
	Get(ctx context.Context, key string) (Entry, bool)

	// Put stores e unless the cache holds an entry of a higher version. Once it has
	// returned, Get must never return a lower version that was put before.
	Put(ctx context.Context, key string, e Entry, ttl time.Duration)
}

// Entry is a version of a value. The value is shared and never changed. A nil Value is not
// served: it only keeps older versions out of the cache.
type Entry struct {
	Version int64
	Value   any
}

// Holder is the value of a slot: the row that holds it, or 0 if the slot is free.
type Holder struct {
	Identifier int64 `json:"identifier"`
}

// Config has the parts and settings of an Engine.
type Config struct {
	// Cache is nil for an Engine that caches nothing.
	Cache Cache

	// Memory is the Cache if it is a [Memory], and nil otherwise. It does not panic and is
	// asked without allocating a key.
	Memory *Memory

	Logger *slog.Logger

	// KeepOut is how long an entry without a value keeps older versions out of the cache.
	KeepOut time.Duration

	// Shared means that other processes write to the store. Nothing is cached until a
	// [Feed] has a position.
	Shared bool

	// NotFound is the error of a load that has found nothing, and Unavailable the error of
	// a store that does not answer.
	NotFound, Unavailable error

	// Panicked returns the error of a load that has panicked.
	Panicked func(any) error

	// StartedOver is called when a generation has begun because changes of the store are
	// not known. It must not call the Engine.
	StartedOver func()
}

// Engine keeps a cache in step with its store. Its methods are safe for use by many
// goroutines.
type Engine struct {
	config Config

	generation atomic.Pointer[generation] // of the entries that may be served

	// off means that no entry is served or stored.
	off atomic.Bool

	// followed means that a Feed reports the writes of other processes. It is constant.
	followed bool
	born     time.Time
	served   atomic.Int64 // entries are served until this time since born, if followed
	decided  atomic.Int64 // likewise, as the basis of a write

	following atomic.Bool // a Feed is at work
	readers   readers

	creating  atomic.Int32 // publications of new rows in progress; a new row has no key to mark
	deleting  atomic.Int32 // deletions in progress
	overflown atomic.Bool  // some stripe had no room for a doubt

	flight    flight.Group[string, any]
	published atomic.Uint64 // numbers the publications
	seed      maphash.Seed
	stripes   [1024]stripe
	counters  counters

	bypassLogged atomic.Bool
}

// stripe is the state of all keys with the same hash. They now and then cost each other a read
// of the store, and never cause a wrong answer.
type stripe struct {
	writing atomic.Int32  // marks of writes in progress
	loading atomic.Int32  // loads in progress that may fill the cache
	doubted atomic.Bool   // keys may be in doubt
	hits    atomic.Uint64 // look-ups that the cache has answered

	// mu is held while the epoch is compared and the cache filled. It guards the fields
	// below.
	mu     sync.Mutex
	epoch  uint64              // number of the last publication
	doubts map[string][]*doubt // by key
	held   int                 // number of doubts
	closed time.Duration       // all keys are in doubt until this time since born
}

// Epoch is a point in the order of all publications of an Engine.
type Epoch uint64

// New returns an Engine.
func New(config Config) *Engine {
	c := &Engine{config: config, born: time.Now(), seed: maphash.MakeSeed()}
	c.flight.Panicked = config.Panicked
	c.beginGeneration()
	c.off.Store(config.Shared || config.Cache == nil)
	return c
}

// Off reports whether no entry is served or stored.
func (c *Engine) Off() bool { return c.off.Load() }

// Epoch returns the present epoch. A read that begins now sees all that was published
// before.
func (c *Engine) Epoch() Epoch { return Epoch(c.published.Load()) }

// now returns the time since the Engine began, by a clock that nobody sets.
func (c *Engine) now() time.Duration { return time.Since(c.born) }

// serves reports whether entries may be served to a reader.
func (c *Engine) serves() bool {
	if !c.followed || c.off.Load() {
		return !c.off.Load()
	}
	c.readers.note()
	return c.now() < time.Duration(c.served.Load())
}

// Decides reports whether a write may be decided on an entry.
//
// The store refuses a write of an outdated version. It cannot refuse a write of a version
// that it has lost in a failover and counted again since. So entries decide for a shorter
// time than they are served, and an error of the feed ends that time at once, before a
// server that has lost commits takes writes.
func (c *Engine) Decides() bool {
	return c.serves() && (!c.followed || c.now() < time.Duration(c.decided.Load()))
}

func (c *Engine) stripe(key string) *stripe {
	return c.stripeOf(maphash.String(c.seed, key))
}

func (c *Engine) stripeOf(hash uint64) *stripe { return &c.stripes[hash%uint64(len(c.stripes))] }

// rests reports whether nothing is in progress that could put an entry of the stripe
// into the cache.
func (c *Engine) rests(s *stripe) bool {
	return s.writing.Load() == 0 && s.loading.Load() == 0 && c.creating.Load() == 0
}

// lookup asks the cache for a key with the suffix of its generation. A panic of the cache is
// logged, and answers that there is no entry.
func (c *Engine) lookup(ctx context.Context, key string) (e Entry, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.config.Logger.ErrorContext(ctx, "incident: the cache panicked; reading the store instead", "panic", p)
			ok = false
		}
	}()
	return c.config.Cache.Get(ctx, key)
}

// store puts an entry into the cache. A cache that panics may have kept an older entry, and
// is not asked again.
func (c *Engine) store(ctx context.Context, g *generation, key string, e Entry, ttl time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			c.off.Store(true)
			c.config.Logger.ErrorContext(ctx, "incident: the cache panicked on a write; it is not used any more", "panic", p)
		}
	}()
	c.config.Cache.Put(ctx, key+g.suffix, e, ttl)
}
