package incident_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// sharedCaches are caches that two Managers may be given.
func sharedCaches() map[string]func() incident.Cache {
	return map[string]func() incident.Cache{
		"NewCache":            func() incident.Cache { return incident.NewCache(100) },
		"a cache of its host": func() incident.Cache { return &encodingCache{entries: map[string][]byte{}} },
	}
}

// mustNew returns a Manager of a store that reads slots through its cache, too.
func mustNew(t *testing.T, s incident.Store, cache incident.Cache) incident.Manager {
	t.Helper()
	m, err := incident.New(&probe{Store: s}, &incident.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Managers of two databases share a cache, and each serves its own incidents.
func TestCache_separatesDatabases(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			c := cache()
			a, b := mustNew(t, memory.New(), c), mustNew(t, memory.New(), c)
			mustFire(t, a, "5%", incident.StatusWarning)
			mustGet(t, a)
			if mustActive(t, b) {
				t.Error("the slot of another database is taken")
			}
			mustFire(t, b, "20%", incident.StatusCritical)
			for range 2 {
				if got := mustGet(t, a); got.Status != incident.StatusWarning {
					t.Errorf("the incident of the first database is %s", got.Status)
				}
				if got := mustGet(t, b); got.Status != incident.StatusCritical {
					t.Errorf("the incident of the second database is %s", got.Status)
				}
			}
			mustClose(t, b)
			if !mustActive(t, a) || mustActive(t, b) {
				t.Error("closing the incident of one database frees the slot of the other")
			}
		})
	}
}

// A Manager does not serve entries that an earlier Manager has left in the cache.
func TestCache_ignoresAnEarlierManager(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			c, s := cache(), memory.New()
			before := mustNew(t, s, c)
			mustFire(t, before, "5%", incident.StatusWarning)
			mustGet(t, before)
			mustActive(t, before)
			mustClose(t, mustNew(t, s, incident.NoCache))
			after := mustNew(t, s, c)
			if got := mustGet(t, after); got.Status != incident.StatusClosed {
				t.Errorf("a new Manager serves the incident as %s, from the cache of an earlier Manager", got.Status)
			}
			if mustActive(t, after) {
				t.Error("a new Manager serves a slot from the cache of an earlier Manager")
			}
		})
	}
}
