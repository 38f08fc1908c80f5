package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// pausingStore delays the results of the database.
type pausingStore struct{ *postgres.Store }

// pause waits for up to two milliseconds, or not at all.
func pause() {
	if rand.IntN(2) == 0 {
		time.Sleep(rand.N(2 * time.Millisecond))
	}
}

func (s *pausingStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	defer pause()
	return s.Store.Load(ctx, key)
}

func (s *pausingStore) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	defer pause()
	return s.Store.LoadSlot(ctx, slot)
}

func (s *pausingStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	pause()
	defer pause()
	return s.Store.Apply(ctx, c)
}

// known is the highest version of an incident that was acknowledged to a writer or
// returned to a reader.
type known struct{ version atomic.Int64 }

func (k *known) raise(version int64) {
	for {
		v := k.version.Load()
		if v >= version || k.version.CompareAndSwap(v, version) {
			return
		}
	}
}

// A cached read never returns a version older than a version acknowledged to a writer, or
// returned to a reader, of the process. That holds for a cache of a single process, for a
// cache that follows other processes, and for a cache that is too small.
func TestCache_staleFills(t *testing.T) {
	part := int64(20)
	if long {
		part = 1
	}
	for name, c := range map[string]struct {
		opts     postgres.Options
		capacity int
		reads    int64
	}{
		"alone":     {postgres.Options{SingleProcess: true}, 100, 1_000_000},
		"following": {postgres.Options{}, 100, 1_000_000},
		"too small": {postgres.Options{SingleProcess: true}, 3, 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := emptyStores(t, kind{conns: 16, options: c.opts})(t).(*postgres.Store)
			staleFills(t, &pausingStore{s}, incident.NewCache(c.capacity), c.reads/part)
		})
	}
}

// staleFills runs 4 writers and 8 readers on 4 incidents for the given number of reads.
func staleFills(t *testing.T, s incident.Store, cache incident.Cache, reads int64) {
	m, err := incident.New(s, &incident.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	var keys [4]incident.Key
	var versions [4]known
	for i := range keys {
		keys[i] = mustBeginAnew(t, m, fmt.Sprint("rule ", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	for range 4 {
		all.Go(func() {
			statuses := []incident.Status{incident.StatusOpen, incident.StatusWarning, incident.StatusCritical}
			for ctx.Err() == nil {
				i := rand.IntN(len(keys))
				r, err := m.UpdateStatus(t.Context(), keys[i], incident.StatusUpdate{Status: statuses[rand.IntN(len(statuses))]})
				if err != nil {
					t.Error(err)
					return
				}
				versions[i].raise(r.Version)
				pause()
			}
		})
	}
	var made, stale atomic.Int64
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for made.Add(1) <= reads {
				i := rand.IntN(len(keys))
				lowest := versions[i].version.Load()
				version, err := readVersion(t.Context(), m, keys[i], fmt.Sprint("rule ", i))
				if err != nil {
					t.Error(err)
					return
				}
				if version < lowest {
					stale.Add(1)
				}
				versions[i].raise(version)
			}
		})
	}
	readers.Wait()
	stats := m.Stats()
	cancel()
	all.Wait()
	if n := stale.Load(); n > 0 {
		t.Errorf("%d of %d reads were stale", n, reads)
	}
	for i, key := range keys {
		if got, err := m.Get(t.Context(), key); err != nil || got.Version < versions[i].version.Load() {
			t.Errorf("at the end %s is stuck at version %d, %v", key, got.Version, err)
		}
	}
	t.Logf("%d reads, %+v", reads, stats)
}

// readVersion reads an incident by its key or, sometimes, by its slot.
func readVersion(ctx context.Context, m incident.Manager, key incident.Key, rule string) (int64, error) {
	if rand.IntN(8) > 0 {
		inc, err := m.Get(ctx, key)
		return inc.Version, err
	}
	inc, ok, err := m.Active(ctx, with(firing, rule).Slot)
	if err == nil && !ok {
		err = fmt.Errorf("%s is not active", key)
	}
	return inc.Version, err
}
