package managertest

import (
	"fmt"
	"testing"

	"github.com/incidentkit/incident"
)

// Linearizable records histories of concurrent calls on incidents and slots, and checks
// that:
//
//   - each history is linearizable
//   - no read is older than a version acknowledged or read before
//   - every writer succeeds in time
//
// The caches vary, and some are too small. The store is slow at random and loses some
// answers. In short mode each client makes a quarter of the calls.
func Linearizable(t *testing.T, newStore NewStore) {
	calls := 160
	if testing.Short() {
		calls /= 4
	}
	run := func(name string, seed uint64, check func(labSetup) error) {
		t.Run(fmt.Sprintf("%s/seed %d", name, seed), func(t *testing.T) {
			t.Parallel()
			err := check(labSetup{
				store: newStore(t), cache: labCache(seed), seed: seed,
				local: seed > 1, clients: 8, calls: calls, losses: int(seed%2) * 6, artifacts: t.ArtifactDir(),
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for seed := range uint64(5) {
		run("status", seed, checkRegister)
		run("slot", seed, func(s labSetup) error { return checkSlots(s, manual) })
	}
	for _, seed := range []uint64{0, 1, 3} {
		run("desk", seed, checkDesk)
		run("family", seed, checkFamily)
	}
	for seed := range uint64(3) {
		run("shelf", seed, func(s labSetup) error {
			if _, deletes := s.store.(incident.RetentionStore); !deletes {
				return nil
			}
			return checkShelves(s)
		})
	}
	for _, seed := range []uint64{0, 2} {
		run("triggers", seed, func(s labSetup) error { return checkSlots(s, triggered) })
		run("late", seed, func(s labSetup) error { return checkSlots(s, late) })
		run("freshness", seed, checkFreshness)
		run("births", seed, checkBirths)
		run("progress", seed, checkProgress)
	}
}

// labCache returns a cache that drops most entries, some, or none.
func labCache(seed uint64) incident.Cache {
	switch seed % 4 {
	case 0:
		return incident.NewCache(2)
	case 1:
		return newRemoteCache()
	case 2:
		return newLossyCache(incident.NewCache(64), seed)
	default:
		return incident.NewCache(incident.DefaultCacheCapacity)
	}
}
