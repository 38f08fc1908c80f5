package incident_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// mapCache is a [incident.Cache] that keeps entries in their binary form, as a cache outside the
// process does. It has no limit of its own.
type mapCache struct {
	mu      sync.Mutex // guards entries
	entries map[string]cached
}

type cached struct {
	version int64
	data    []byte
	expires time.Time
}

var _ incident.Cache = (*mapCache)(nil)

// Get implements [incident.Cache]. Any problem is a miss.
func (c *mapCache) Get(_ context.Context, key string) (e incident.CacheEntry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.entries[key]
	if !ok || time.Now().After(kept.expires) || e.UnmarshalBinary(kept.data) != nil {
		return incident.CacheEntry{}, false
	}
	return e, true
}

// Put implements [incident.Cache]. A lower version never replaces a higher version: Redis would
// compare both in a script.
func (c *mapCache) Put(_ context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.entries[key]; ok && kept.version > e.Version {
		return
	}
	data, err := e.MarshalBinary()
	if err != nil {
		delete(c.entries, key) // an entry that cannot be stored must not leave an older version
		return
	}
	c.entries[key] = cached{e.Version, data, time.Now().Add(ttl)}
}

// Keep cached incidents in a cache of the host's own.
func ExampleCache() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), &incident.Options{
		Cache: &mapCache{entries: map[string]cached{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 { // the first read fills the cache
		if _, err := incidents.Get(ctx, inc.Key()); err != nil {
			log.Fatal(err)
		}
	}
	stats := incidents.Stats()
	fmt.Println("hits:", stats.CacheHits, "misses:", stats.CacheMisses)
	// Output: hits: 2 misses: 1
}
