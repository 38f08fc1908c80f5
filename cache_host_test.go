package incident_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A Manager of a shared store without a feed does not read from its cache, since no feed reports
// the writes of other processes.
func TestCache_isBypassedForASharedStore(t *testing.T) {
	p := &probe{Store: memory.New(), shared: true}
	var ms [2]incident.Manager
	for i := range ms {
		m, err := incident.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		ms[i] = m
	}
	mustFire(t, ms[0], "5%", incident.StatusWarning)
	mustGet(t, ms[1])
	mustClose(t, ms[0])
	if mustGet(t, ms[1]).Status != incident.StatusClosed || mustActive(t, ms[1]) {
		t.Error("the other manager serves an old version")
	}
	if mustFire(t, ms[1], "5%", incident.StatusWarning).Identifier != 2 || !mustActive(t, ms[0]) {
		t.Error("the first manager serves an old slot")
	}
}

// brokenCache panics in Get, Put or both.
type brokenCache struct {
	incident.Cache
	get, put bool
}

func (c *brokenCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	if c.get {
		panic("get")
	}
	return c.Cache.Get(ctx, key)
}

func (c *brokenCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	if c.put {
		panic("put")
	}
	c.Cache.Put(ctx, key, e, ttl)
}

func TestCache_isBypassedIfBroken(t *testing.T) {
	var log strings.Builder
	c := &brokenCache{Cache: incident.NewCache(10)}
	m, _ := probed(t, &incident.Options{Cache: c, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mustGet(t, m)
	c.get = true
	mustGet(t, m)
	if !strings.Contains(log.String(), "the cache panicked") {
		t.Errorf("the log has %q", log.String())
	}
	c.get, c.put = false, true
	mustClose(t, m) // the cache does not store the new version
	c.put = false
	if mustGet(t, m).Status != incident.StatusClosed {
		t.Error("the cache serves what it failed to replace")
	}
}

// encodingCache keeps the binary form of entries, as a cache outside the process does.
type encodingCache struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func (c *encodingCache) Get(_ context.Context, key string) (e incident.CacheEntry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, ok := c.entries[key]
	return e, ok && e.UnmarshalBinary(data) == nil
}

func (c *encodingCache) Put(_ context.Context, key string, e incident.CacheEntry, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var old incident.CacheEntry
	if data, ok := c.entries[key]; ok && old.UnmarshalBinary(data) == nil && old.Version > e.Version {
		return
	}
	data, err := e.MarshalBinary()
	if err != nil {
		panic(err)
	}
	c.entries[key] = data
}

func TestCache_worksInBinaryForm(t *testing.T) {
	m, p := probed(t, &incident.Options{Cache: &encodingCache{entries: map[string][]byte{}}})
	want := mustGet(t, m)
	p.loads.Store(0)
	got := mustGet(t, m)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !mustActive(t, m) || p.loads.Load() != 0 {
		t.Errorf("from the cache: %+v, from the store: %+v, %d loads", got, want, p.loads.Load())
	}
}
