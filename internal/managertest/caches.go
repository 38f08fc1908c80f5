package managertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// lossyCache randomly loses entries: a third of the reads miss, and a third of the writes
// only delete.
type lossyCache struct {
	incident.Cache
	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func newLossyCache(c incident.Cache, seed uint64) *lossyCache {
	return &lossyCache{Cache: c, rng: rand.New(rand.NewPCG(seed, 1))}
}

func (c *lossyCache) loses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(3) == 0
}

// Get implements [incident.Cache].
func (c *lossyCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	if c.loses() {
		return incident.CacheEntry{}, false
	}
	return c.Cache.Get(ctx, key)
}

// Put implements [incident.Cache]. A lost entry deletes the entry that it was to replace.
func (c *lossyCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	if c.loses() {
		ttl = 0
	}
	c.Cache.Put(ctx, key, e, ttl)
}

// remoteCache encodes and decodes each entry before it stores it, as a cache outside the
// process does.
type remoteCache struct{ incident.Cache }

func newRemoteCache() *remoteCache { return &remoteCache{incident.NewCache(1000)} }

// Put implements [incident.Cache].
func (c *remoteCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	var received incident.CacheEntry
	data, err := e.MarshalBinary()
	if err == nil {
		err = received.UnmarshalBinary(data)
	}
	if err != nil {
		panic(err) // the Manager then bypasses the cache
	}
	c.Cache.Put(ctx, key, received, ttl)
}
