package sqlite_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// The time of a purge is proportional to the number of its incidents. The long form purges a
// million.
func TestStore_Purge_linear(t *testing.T) {
	few, many := 1500, 12_000
	if long {
		few, many = 60_000, 1_000_000
	}
	var ratio float64
	for range 8 { // on a busy machine
		if ratio = float64(purgeTime(t, many)) / float64(purgeTime(t, few)); ratio < 2 {
			return
		}
	}
	t.Errorf("an incident of %d takes %.1f times as long as an incident of %d, want less than 2", many, ratio, few)
}

// purgeTime returns the time to purge an incident, of n.
func purgeTime(t *testing.T, n int) time.Duration {
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	multiply(t, path, n)
	start := time.Now()
	purged, _, err := purgeAll(t.Context(), s, "acme")
	if err != nil || len(purged) != n-1 {
		t.Fatalf("Purge() deleted %d incidents, %v, want %d", len(purged), err, n-1)
	}
	each := time.Since(start) / time.Duration(n)
	t.Logf("of %d incidents, each was purged in %v", n, each)
	return each
}

// Creations beside a purge wait for a portion of it, not for more.
func TestStore_Purge_latency(t *testing.T) {
	var beside, most time.Duration
	for range 8 { // on a busy machine
		alone, besidePurge := creationsBesideAPurge(t)
		if beside, most = besidePurge, 10*alone+10*time.Millisecond; beside <= most || t.Failed() {
			return
		}
	}
	t.Errorf("the median of creations beside a purge is %v, want at most %v", beside, most)
}

// creationsBesideAPurge returns the median times of a creation, alone and beside a purge.
func creationsBesideAPurge(t *testing.T) (medianAlone, medianBeside time.Duration) {
	t.Helper()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	n := 6000
	if long {
		n = 100_000
	}
	multiply(t, path, n)
	alone := creationTimes(t, s, func(made int) bool { return made < 200 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		defer cancel()
		if _, _, err := purgeAll(context.Background(), s, "acme"); err != nil {
			t.Error(err)
		}
	})
	beside := creationTimes(t, s, func(made int) bool { return made == 0 || ctx.Err() == nil })
	all.Wait()
	median := func(all []time.Duration) time.Duration { return all[len(all)/2] }
	t.Logf("creations: median %v, 99th percentile %v; %d beside a purge: %v, %v",
		median(alone), alone[len(alone)*99/100], len(beside), median(beside), beside[len(beside)*99/100])
	return median(alone), median(beside)
}

// creationTimes creates incidents, and returns the times in ascending order.
func creationTimes(t *testing.T, s incident.Store, more func(made int) bool) (all []time.Duration) {
	for more(len(all)) {
		start := time.Now()
		mustCreate(t, s, "x")
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all
}
