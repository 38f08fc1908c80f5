package incident

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/incidentkit/incident/internal/coherence"
)

// Cache keeps entries by key. Their versions prevent it from going back in time. It must be
// safe for use by many goroutines. If it fails, Get returns false. A panic is logged, and the
// cache is bypassed.
//
// Every key begins with its organization. Each incident and slot of each [Manager] has a key
// of its own: several Managers may share a Cache, and none reads the entries of another or of
// an earlier version. A Manager may change all of its keys, for example because the server of its
// store was restored from a backup. Entries of the old keys are not requested again.
type Cache interface {
	// Get returns the entry of key, and false if there is none.
	Get(ctx context.Context, key string) (CacheEntry, bool)

	// Put stores e, unless the cache holds an entry of a higher version under key. The
	// cache may drop an entry at any time, and must drop it after ttl. Once Put has
	// returned, Get must never return a lower version that was put before. A cache that
	// cannot store e must drop the entry that it holds under key.
	Put(ctx context.Context, key string, e CacheEntry, ttl time.Duration)
}

// CacheEntry is a version of a value in a [Cache]. The value belongs to this package and is
// never changed, so that a cache may share it. A cache outside the process keeps the binary
// form of the entry.
type CacheEntry struct {
	// Version orders the entries of a key.
	Version int64

	// value is a *State, a *slotHolder, or nil for an entry that is not served: it only
	// keeps older versions out.
	value any
}

// slotHolder is the holder of a slot as the cache keeps it.
type slotHolder = coherence.Holder

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

// DefaultCacheCapacity is the capacity of the cache of a [Manager] without [Options.Cache].
const DefaultCacheCapacity = 50_000

// NewCache returns a [Cache] in this process, over go-cache. It holds at most capacity
// entries, and at least 1. It makes room by dropping an old entry that was not read recently.
// It has no goroutine and needs no closing. Entries age by the monotonic clock: setting the
// wall clock prolongs none.
func NewCache(capacity int) Cache { return &memoryCache{coherence.NewMemory(capacity)} }

// memoryCache is the Cache that NewCache returns.
type memoryCache struct{ memory *coherence.Memory }

var _ Cache = (*memoryCache)(nil)

// Get implements [Cache].
func (c *memoryCache) Get(ctx context.Context, key string) (CacheEntry, bool) {
	e, ok := c.memory.Get(ctx, key)
	return CacheEntry{Version: e.Version, value: e.Value}, ok
}

// Put implements [Cache].
func (c *memoryCache) Put(ctx context.Context, key string, e CacheEntry, ttl time.Duration) {
	c.memory.Put(ctx, key, coherence.Entry{Version: e.Version, Value: e.value}, ttl)
}

// NoCache is a [Cache] that keeps nothing. Every read goes to the store.
var NoCache Cache = noCache{}

type noCache struct{}

func (noCache) Get(context.Context, string) (CacheEntry, bool)         { return CacheEntry{}, false }
func (noCache) Put(context.Context, string, CacheEntry, time.Duration) {}

// hostCache adapts a Cache of the host to the engine that keeps it coherent.
type hostCache struct{ cache Cache }

var _ coherence.Cache = hostCache{}

// Get implements [coherence.Cache].
func (c hostCache) Get(ctx context.Context, key string) (coherence.Entry, bool) {
	e, ok := c.cache.Get(ctx, key)
	return coherence.Entry{Version: e.Version, Value: e.value}, ok
}

// Put implements [coherence.Cache].
func (c hostCache) Put(ctx context.Context, key string, e coherence.Entry, ttl time.Duration) {
	c.cache.Put(ctx, key, CacheEntry{Version: e.Version, value: e.Value}, ttl)
}

// newCoherence returns the engine of a Manager's cache. startedOver is called when unknown
// changes of the store have put the cache out of service.
func newCoherence(o *Options, store Store, startedOver func()) *coherence.Engine {
	config := coherence.Config{
		Logger: o.Logger, KeepOut: DefaultCacheTTL, Shared: store.Shared(),
		NotFound: ErrNotFound, Unavailable: ErrUnavailable, Panicked: storePanicked,
		StartedOver: startedOver,
	}
	if _, ok := storeAs[FeedStore](store); ok && config.Shared {
		config.KeepOut = o.IncidentTTL
	}
	switch c := o.Cache.(type) {
	case noCache:
	case *memoryCache:
		config.Cache, config.Memory = c.memory, c.memory
	default:
		config.Cache = hostCache{c}
	}
	return coherence.New(config)
}
