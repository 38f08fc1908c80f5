package incident

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	gocache "github.com/patrickmn/go-cache"
)

// Cache keeps versioned entries by key, so that it can never go back in time.
// It must be safe for use by many goroutines. A cache that fails answers a Get
// with false; one that panics is logged and bypassed.
//
// Every key begins with the organization, and no two things have the same key. The
// entries of a Manager are its own: several may share a Cache, and none reads what
// another one, also one before it, has put there. A Manager can replace all of its keys
// at a time, as when the server of its store was restored from a backup; what is under the
// old ones is not asked for again, and goes when it is the oldest or its ttl is over.
type Cache interface {
	// Get returns the entry under key, and false if there is none.
	Get(ctx context.Context, key string) (CacheEntry, bool)

	// Put stores e unless the cache holds an entry with a higher version under
	// key. The cache may drop it at any time, and must after ttl. Once Put has
	// returned, Get must never return a lower version that was put before: a cache
	// that cannot store e must drop what it holds under key.
	Put(ctx context.Context, key string, e CacheEntry, ttl time.Duration)
}

// CacheEntry is what a [Cache] keeps. What it stands for is this package's own
// and is never changed, so that a cache may share it. A cache outside the
// process keeps the entry's binary form.
type CacheEntry struct {
	// Version orders the entries of one key.
	Version int64

	// value is a *State, a *slotHolder, or nil for an entry that is not to be
	// served: it only keeps older versions out.
	value any
}

// slotHolder is what is known of a slot: who holds it, 0 for nobody.
type slotHolder struct {
	Identifier int64 `json:"identifier"`
}

// wireEntry is the binary form of a CacheEntry.
type wireEntry struct {
	Version int64       `json:"version"`
	State   *State      `json:"state,omitempty"`
	Slot    *slotHolder `json:"slot,omitempty"`
}

// MarshalBinary implements [encoding.BinaryMarshaler].
func (e CacheEntry) MarshalBinary() ([]byte, error) {
	w := wireEntry{Version: e.Version}
	switch v := e.value.(type) {
	case *State:
		w.State = v
	case *slotHolder:
		w.Slot = v
	}
	return json.Marshal(w)
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler].
func (e *CacheEntry) UnmarshalBinary(data []byte) error {
	var w wireEntry
	if err := json.Unmarshal(data, &w); err != nil {
		return wrap(err, "decode cache entry")
	}
	if w.State != nil && w.Slot != nil {
		return wrap(errors.New("both a state and a slot"), "decode cache entry")
	}
	e.Version, e.value = w.Version, nil
	if w.State != nil {
		e.value = w.State
	}
	if w.Slot != nil {
		e.value = w.Slot
	}
	return nil
}

// DefaultCacheCapacity is how many entries the cache of a [Manager] holds that was
// given none.
const DefaultCacheCapacity = 50_000

// NewCache returns a [Cache] in this process, over go-cache. It holds at most
// capacity entries, 1 at the least, and makes room by dropping an old entry that
// was not read of late. It has no goroutine and needs no closing. Its entries
// age by the monotonic clock: setting the wall clock prolongs none.
func NewCache(capacity int) Cache {
	return &memoryCache{
		items: gocache.New(gocache.NoExpiration, 0), // no interval: no janitor, which could not be stopped
		born:  time.Now(),
		keys:  make([]string, 0, 16),
		limit: max(capacity, 1),
	}
}

type memoryCache struct {
	items *gocache.Cache
	born  time.Time

	// mu makes comparing and storing one step, and guards what is below.
	mu    sync.Mutex
	keys  []string // the keys of items, a ring once it is full
	hand  int      // the next of keys to be dropped, if it was not read
	limit int
}

type cacheItem struct {
	entry   CacheEntry
	expires time.Duration // since the cache was born
	read    atomic.Bool   // since the hand last passed
}

func (c *memoryCache) lookup(key string) (*cacheItem, bool) {
	v, ok := c.items.Get(key)
	if !ok {
		return nil, false
	}
	item := v.(*cacheItem)
	return item, time.Since(c.born) < item.expires
}

// Get implements [Cache].
func (c *memoryCache) Get(_ context.Context, key string) (CacheEntry, bool) {
	item, ok := c.lookup(key)
	return item.serve(ok)
}

// get is Get for a key that nobody keeps: a short one is not allocated.
func (c *memoryCache) get(key []byte) (CacheEntry, bool) {
	item, ok := c.lookup(string(key))
	return item.serve(ok)
}

// serve returns the entry of an item that was looked up.
func (item *cacheItem) serve(found bool) (CacheEntry, bool) {
	if !found {
		return CacheEntry{}, false
	}
	if !item.read.Load() {
		item.read.Store(true)
	}
	return item.entry, true
}

// Put implements [Cache].
func (c *memoryCache) Put(_ context.Context, key string, e CacheEntry, ttl time.Duration) {
	item := &cacheItem{entry: e, expires: plus(time.Since(c.born), ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, fresh := c.lookup(key)
	if fresh && old.entry.Version > e.Version {
		return
	}
	if old == nil {
		c.makeRoom(key)
	} else {
		item.read.Store(old.read.Load())
	}
	c.items.Set(key, item, gocache.NoExpiration)
}

// makeRoom adds a key to the ring, in place of one whose entry it drops once
// the ring is full: the first that was not read since the hand last passed it.
// It is called with mu held.
func (c *memoryCache) makeRoom(key string) {
	if len(c.keys) < c.limit {
		c.keys = append(c.keys, key)
		return
	}
	for range len(c.keys) {
		if v, ok := c.items.Get(c.keys[c.hand]); !ok || !v.(*cacheItem).read.Swap(false) {
			break
		}
		c.hand = (c.hand + 1) % len(c.keys)
	}
	c.items.Delete(c.keys[c.hand])
	c.keys[c.hand] = key
	c.hand = (c.hand + 1) % len(c.keys)
}

// NoCache is a [Cache] that keeps nothing: every read goes to the store.
var NoCache Cache = noCache{}

type noCache struct{}

func (noCache) Get(context.Context, string) (CacheEntry, bool)         { return CacheEntry{}, false }
func (noCache) Put(context.Context, string, CacheEntry, time.Duration) {}
