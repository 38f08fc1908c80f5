package coherence

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/incidentkit/incident/internal/duration"
)

// Memory is a [Cache] in this process, over go-cache. It makes room by dropping an old entry
// that was not read recently. It has no goroutine. Entries age by the monotonic clock, so
// that setting the wall clock prolongs none.
type Memory struct {
	items *gocache.Cache
	born  time.Time

	// mu is held while versions are compared and stored. It guards the fields below.
	mu    sync.Mutex
	keys  []string // the keys of items; a ring once it is full
	hand  int      // the index of the next key to drop, if it was not read
	limit int
}

var _ Cache = (*Memory)(nil)

type item struct {
	entry   Entry
	expires time.Duration // since the cache was born
	read    atomic.Bool   // since the hand passed last
}

// NewMemory returns a Memory of at most capacity entries, and of at least 1.
func NewMemory(capacity int) *Memory {
	return &Memory{
		items: gocache.New(gocache.NoExpiration, 0), // an interval would start a goroutine that nobody can stop
		born:  time.Now(),
		keys:  make([]string, 0, 16),
		limit: max(capacity, 1),
	}
}

// Get implements [Cache].
func (m *Memory) Get(_ context.Context, key string) (Entry, bool) {
	it, ok := m.lookup(key)
	return it.serve(ok)
}

// getBytes is Get without allocating a string of the key.
func (m *Memory) getBytes(key []byte) (Entry, bool) {
	it, ok := m.lookup(string(key))
	return it.serve(ok)
}

// lookup returns the item of a key, and false if there is none or its time is over.
func (m *Memory) lookup(key string) (*item, bool) {
	v, ok := m.items.Get(key)
	if !ok {
		return nil, false
	}
	it := v.(*item)
	return it, time.Since(m.born) < it.expires
}

// serve returns the entry of an item that lookup has found, and marks it as read.
func (it *item) serve(found bool) (Entry, bool) {
	if !found {
		return Entry{}, false
	}
	if !it.read.Load() { // a write for each read would slow down readers on other processors
		it.read.Store(true)
	}
	return it.entry, true
}

// Put implements [Cache].
func (m *Memory) Put(_ context.Context, key string, e Entry, ttl time.Duration) {
	it := &item{entry: e, expires: duration.Add(time.Since(m.born), ttl)}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, fresh := m.lookup(key)
	if fresh && old.entry.Version > e.Version {
		return
	}
	if old == nil {
		m.makeRoom(key)
	} else {
		it.read.Store(old.read.Load())
	}
	m.items.Set(key, it, gocache.NoExpiration)
}

// makeRoom adds a key to the ring. Once the ring is full, the key replaces the first that
// was not read since the hand passed it last, and the entry of that is dropped. The caller
// holds mu.
func (m *Memory) makeRoom(key string) {
	if len(m.keys) < m.limit {
		m.keys = append(m.keys, key)
		return
	}
	for range len(m.keys) {
		if v, ok := m.items.Get(m.keys[m.hand]); !ok || !v.(*item).read.Swap(false) {
			break
		}
		m.hand = (m.hand + 1) % len(m.keys)
	}
	m.items.Delete(m.keys[m.hand])
	m.keys[m.hand] = key
	m.hand = (m.hand + 1) % len(m.keys)
}
