package managertest

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// mostSeeds is the number of histories in which a planted fault must show. The scheduler decides
// whether it shows in one of them: some faults show in every second history.
const mostSeeds = 100

// Each planted fault shows only in concurrent calls.
func TestLinearizable_Catches(t *testing.T) {
	slots := func(mix slotMix) func(labSetup) error {
		return func(s labSetup) error { return checkSlots(s, mix) }
	}
	for _, test := range []struct {
		name  string
		check func(labSetup) error
		plant func(s *labSetup)
	}{
		{"a store without version checks", checkRegister, func(s *labSetup) { s.store = &unversionedStore{s.store} }},
		{"slots read late", slots(manual), func(s *labSetup) { s.store = &staleSlots{Store: s.store} }},
		{"slots not claimed", slots(triggered), func(s *labSetup) {
			s.store = changing(func(c *incident.Change) { c.Claim = nil })(s.store)
		}},
		{"triggers not written", slots(triggered), func(s *labSetup) {
			s.store = changing(func(c *incident.Change) { c.Triggers = nil })(s.store)
		}},
		{"slots written whatever their version", slots(late), func(s *labSetup) {
			s.store = changing(ignoreSlotVersion)(s.store)
			s.local = true // writers of new incidents take no turns
		}},
		{"last incidents not told", slots(triggered), func(s *labSetup) { s.store = telling(hideLast)(s.store) }},
		{"incidents read late", checkRegister, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &hastyManager{Manager: m} }
		}},
		{"incidents read late, by version", checkFreshness, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &hastyManager{Manager: m} }
		}},
		{"incidents missed", checkBirths, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &blindManager{Manager: m} }
		}},
		{"updates lost", checkRegister, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &forgetfulManager{Manager: m} }
		}},
		{"edits and acknowledgements lost", checkDesk, func(s *labSetup) { s.store = &unversionedStore{s.store} }},
		{"an outdated desk", checkDesk, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &hastyManager{Manager: m} }
		}},
		{"reminders set on outdated versions", checkDesk, func(s *labSetup) {
			s.store = &forgetful{OutboxStore: s.store.(incident.OutboxStore), set: ignoreVersion}
		}},
		{"reminders that outlive the close", checkDesk, func(s *labSetup) {
			s.store = &forgetful{OutboxStore: s.store.(incident.OutboxStore), change: func(c *incident.Change) { c.EndReminders = false }}
		}},
		{"duplicates marked without a transaction", checkFamily, func(s *labSetup) { s.store = &noRollback{s.store} }},
		{"writers turned away", checkProgress, func(s *labSetup) {
			s.decorate = func(m incident.Manager) incident.Manager { return &impatientManager{Manager: m} }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(mostSeeds) {
				s := labSetup{store: memory.New(), cache: incident.NoCache, seed: seed, clients: 8, calls: 80}
				test.plant(&s)
				if err := test.check(s); err != nil {
					t.Log(err)
					return
				}
			}
			t.Error("the fault was not detected")
		})
	}
}

// A cache that stores entries too late returns old versions.
func TestLinearizable_CatchesCache(t *testing.T) {
	for name, check := range map[string]func(labSetup) error{"status": checkRegister, "freshness": checkFreshness} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(mostSeeds) {
				cache := &tardyCache{Cache: incident.NewCache(100)}
				err := check(labSetup{store: memory.New(), cache: cache, seed: seed, clients: 8, calls: 80})
				cache.wg.Wait()
				if err != nil {
					t.Log(err)
					return
				}
			}
			t.Error("the fault was not detected")
		})
	}
}
