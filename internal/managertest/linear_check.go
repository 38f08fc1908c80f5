package managertest

import (
	"fmt"
	"testing"

	"github.com/incidentkit/incident"
)

// Linearizable checks that calls of many goroutines look as if they had been
// made one by one: histories of incidents and of slots, through caches of which
// some are too small, on a store that is slow in an irregular manner and loses
// some answers. It also checks that no read is older than what was acknowledged
// or read before, and that no writer is turned away or waits for ever. In short
// mode it makes a quarter of the calls.
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
		run("slot", seed, func(s labSetup) error { return checkSlots(s, manualOps) })
	}
	for _, seed := range []uint64{0, 2} {
		run("triggers", seed, func(s labSetup) error { return checkSlots(s, triggerOps) })
		run("freshness", seed, checkFreshness)
		run("births", seed, checkBirths)
		run("progress", seed, checkProgress)
	}
}

// labCache is one of those that drop most entries, some, or none.
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
