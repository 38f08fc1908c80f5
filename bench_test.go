package incident_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A benchmark here compares a subject with a floor in the same run: after its own loop it runs
// both in turn, and reports the median of the ratios under the name of the floor. It fails above
// its bar.

const rounds = 21

// compare reports the time of subject as a multiple of the time of floor. Both run n times. If the
// bar is missed, it measures again, and counts the rounds of all measurements.
func compare(b *testing.B, name string, bar float64, n int, floor, subject func()) {
	b.Helper()
	b.StopTimer()
	var ratios, floors []float64
	measure := func() float64 {
		for range rounds {
			took := float64(timed(n, floor).Nanoseconds()) / float64(n)
			floors = append(floors, took)
			ratios = append(ratios, float64(timed(n, subject).Nanoseconds())/float64(n)/took)
		}
		return median(ratios)
	}
	ratio := measure()
	if ratio > bar {
		ratio = measure()
	}
	ns := median(floors)
	b.ReportMetric(ratio, "times-"+name)
	b.ReportMetric(ns, "ns/"+name)
	if ratio > bar {
		b.Errorf("%.2f times %s, which takes %.0f ns; the bar is %.2f", ratio, name, ns, bar)
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func timed(n int, f func()) time.Duration {
	start := time.Now()
	for range n {
		f()
	}
	return time.Since(start)
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// A cached read, compared with a look-up of the same key in a bare go-cache, and with a look-up
// and a copy of the value, since the caller owns the result.
func BenchmarkTriggers_cached(b *testing.B) {
	ctx := b.Context()
	store, keys := memory.New(), &keyCache{Cache: incident.NewCache(incident.DefaultCacheCapacity)}
	m, err := incident.New(store, &incident.Options{Cache: keys})
	check(b, err)
	var inc incident.Result
	for _, id := range []incident.TriggerID{"5%", "20%"} {
		inc, err = m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: id, Severity: incident.StatusCritical, Title: "Error rate"})
		check(b, err)
	}
	key := inc.Key()
	_, err = m.Triggers(ctx, key)
	check(b, err)
	m, err = incident.New(store, nil)
	check(b, err)
	subject := func() {
		triggers, err := m.Triggers(ctx, key)
		if err != nil || len(triggers) != 2 {
			b.Fatal(triggers, err)
		}
	}
	subject()
	triggers, err := m.Triggers(ctx, key)
	check(b, err)
	bare := gocache.New(incident.DefaultCacheTTL, 0)
	bare.SetDefault(keys.last, &triggers)
	var copied []incident.Trigger
	floor := func() {
		found, ok := bare.Get(keys.last)
		if !ok {
			b.Fatal("the entry is gone")
		}
		copied = slices.Clone(*found.(*[]incident.Trigger))
	}
	b.ReportAllocs()
	for b.Loop() {
		subject()
	}
	if allocs := testing.AllocsPerRun(1000, subject); allocs > 2 {
		b.Errorf("%.0f allocations, the bar is 2", allocs)
	}
	compare(b, "go-cache", 3, 200_000, func() {
		if _, ok := bare.Get(keys.last); !ok {
			b.Fatal("the entry is gone")
		}
	}, subject)
	compare(b, "go-cache-and-copy", 2, 200_000, floor, subject)
	if len(copied) != 2 {
		b.Errorf("the floor has copied %d triggers", len(copied))
	}
}

// The shortest call with a Trace that does nothing, compared with a Manager without Trace.
func BenchmarkTriggers_traced(b *testing.B) {
	ctx := b.Context()
	store := memory.New()
	plain, err := incident.New(store, nil)
	check(b, err)
	inc, err := plain.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusCritical, Title: "Error rate"})
	check(b, err)
	traced, err := incident.New(store, &incident.Options{
		Trace: func(ctx context.Context, _ incident.Call) (context.Context, func(error)) { return ctx, nil },
	})
	check(b, err)
	on := func(m incident.Manager) func() {
		return func() {
			_, err := m.Triggers(ctx, inc.Key())
			check(b, err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		on(traced)()
	}
	compare(b, "untraced", 2, 200_000, on(plain), on(traced))
}

// keyCache records the last key that was looked up.
type keyCache struct {
	incident.Cache
	last string
}

func (c *keyCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	c.last = key
	return c.Cache.Get(ctx, key)
}

const small, large = 10_000, 1_000_000

// sized is a Manager with n active incidents of one organization, each of a rule of its own.
type sized struct {
	incident.Manager
	n   int
	rng *rand.Rand
}

var sizes = sync.OnceValue(func() map[int]*sized {
	all := map[int]*sized{}
	for _, n := range []int{small, large} {
		m, err := incident.New(memory.New(), nil)
		if err != nil {
			panic(err)
		}
		s := &sized{Manager: m, n: n, rng: rand.New(rand.NewPCG(1, uint64(n)))}
		for i := range n {
			if _, err := s.Fire(context.Background(), s.firing(i, now.Add(time.Duration(i)*time.Second-large*time.Second))); err != nil {
				panic(err)
			}
		}
		all[n] = s
	}
	runtime.GC()
	return all
})

func (s *sized) firing(i int, at time.Time) incident.Firing {
	f := incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate", Date: at}
	f.AlertRuleID = incident.AlertRuleID(fmt.Sprint("rule-", i))
	return f
}

// among draws one of the latest n incidents.
func (s *sized) among(n int) int { return s.n - 1 - s.rng.IntN(n) }

func (s *sized) key(i int) incident.Key {
	return incident.Key{OrganizationID: "acme", Identifier: int64(i) + 1}
}

// A chain is a Go map that leads from each key to a random other key, and so through all keys.
// Following it is the floor of any call that reads one of n records in memory: each step depends
// on the step before, and waits for main memory if the map is in no cache of the processor.
type chain struct {
	next map[int64]int64
	at   int64
}

func newChain(n int) *chain {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	order := rng.Perm(n)
	c := &chain{next: make(map[int64]int64, n)}
	for i, at := range order {
		c.next[int64(at)] = int64(order[(i+1)%n])
	}
	return c
}

func (c *chain) follow(steps int) {
	for range steps {
		c.at = c.next[c.at]
	}
}

var chains = sync.OnceValue(func() map[int]*chain {
	return map[int]*chain{small: newChain(small), large: newChain(large)}
})

// bySize compares a call on the large store with the same call on the small store.
//
//   - latest: on the latest 10,000 incidents, as people work.
//   - any: on all incidents. The large store then waits for main memory as often as the call
//     reads one of its maps. To allow for that, the call on the small store is accompanied by
//     as many reads of a map of the large size, and the call on the large store by as many
//     reads of a map of the small size.
func bySize(b *testing.B, n, reads int, call func(s *sized, i int)) {
	all := sizes()
	on := func(size, among int) func() {
		s := all[size]
		return func() { call(s, s.among(min(among, s.n))) }
	}
	loop := func(b *testing.B, subject func()) {
		b.ReportAllocs()
		for b.Loop() {
			subject()
		}
	}
	b.Run("latest", func(b *testing.B) {
		loop(b, on(large, small))
		compare(b, "10k", 1.5, n, on(small, small), on(large, small))
	})
	b.Run("any", func(b *testing.B) {
		loop(b, on(large, large))
		with := func(size int, call func()) func() {
			c := chains()[size]
			return func() {
				c.follow(reads)
				call()
			}
		}
		compare(b, "10k-and-map", 1.5, n, with(large, on(small, small)), with(small, on(large, large)))
	})
}

func BenchmarkCreate_1M(b *testing.B) {
	ctx := b.Context()
	all := sizes()
	create := func(s *sized) func() {
		return func() {
			_, err := s.Create(ctx, incident.NewIncident{
				OrganizationID: "acme", Title: "Checkout is down", Projects: []incident.ProjectID{"checkout"},
			})
			check(b, err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		create(all[large])()
	}
	compare(b, "10k", 1.5, 500, create(all[small]), create(all[large]))
}

func BenchmarkUpdateStatus_1M(b *testing.B) {
	ctx := b.Context()
	// Each incident alternates between Warning and Critical.
	critical := map[*sized][]bool{}
	for _, s := range sizes() {
		critical[s] = make([]bool, s.n)
	}
	bySize(b, 2000, 4, func(s *sized, i int) {
		is := &critical[s][i]
		status := incident.StatusCritical
		if *is {
			status = incident.StatusWarning
		}
		*is = !*is
		r, err := s.UpdateStatus(ctx, s.key(i), incident.StatusUpdate{Status: status})
		check(b, err)
		if !r.Changed {
			b.Fatal("not changed")
		}
	})
}

func BenchmarkFire_unchanged1M(b *testing.B) {
	ctx := b.Context()
	bySize(b, 5000, 4, func(s *sized, i int) {
		r, err := s.Fire(ctx, s.firing(i, time.Time{}))
		check(b, err)
		if r.Changed {
			b.Fatal("changed")
		}
	})
}

func BenchmarkMarkSeen_1M(b *testing.B) {
	ctx := b.Context()
	bySize(b, 5000, 1, func(s *sized, i int) {
		_, err := s.MarkSeen(ctx, s.key(i), "ada")
		check(b, err)
	})
}

// A page deep in a list, compared with the first page.
func BenchmarkList_page30000(b *testing.B) {
	ctx := b.Context()
	s := sizes()[large]
	head := incident.IncidentFilter{OrganizationID: "acme", Statuses: incident.ActiveStatuses()}
	deep := head
	pages := 0
	for ; pages < 30_000; pages++ {
		page, err := s.List(ctx, deep)
		check(b, err)
		deep.Cursor = page.Next
	}
	list := func(f incident.IncidentFilter) {
		page, err := s.List(ctx, f)
		check(b, err)
		if len(page.Incidents) != incident.DefaultPageSize {
			b.Fatalf("a page of %d", len(page.Incidents))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		list(deep)
	}
	compare(b, "page-1", 1.5, 1000, func() { list(head) }, func() { list(deep) })
}
