package managertest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/incidentkit/incident"
)

// Model compares the Manager with the model, in random sequences of calls with several
// kinds of cache. Some calls run with injected faults of the store. Each sequence has its
// own store. It runs four times as many sequences as rapid's flags say, and a fifth of
// that in short mode.
func Model(t *testing.T, newStore NewStore) {
	variants := map[string]func(seed uint64) setup{
		"cache": func(seed uint64) setup { return setup{local: seed%2 == 0, quiet: seed>>1%4 == 0} },
		"poor cache": func(seed uint64) setup {
			return setup{cache: poorCache(seed), local: seed>>1%2 == 0, quiet: seed>>2%4 == 0}
		},
		"several processes":    func(uint64) setup { return setup{processes: 2} },
		"no cache, authorizer": func(uint64) setup { return setup{cache: incident.NoCache, guarded: true} },
	}
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, property(func(seed uint64) setup {
				s := variant(seed)
				if s.store = newStore(t); s.quiet {
					s.store = quiet(s.store)
				}
				return s
			}))
		})
	}
}

// poorCache returns a cache that is too small, or that is remote and loses entries.
func poorCache(seed uint64) incident.Cache {
	if seed%2 == 0 {
		return incident.NewCache(2)
	}
	return newLossyCache(newRemoteCache(), seed)
}

// property returns the property that rapid checks: a random sequence of calls.
func property(newSetup func(seed uint64) setup) func(*rapid.T) {
	return func(t *rapid.T) {
		m, err := newMachine(newSetup(rapid.Uint64().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"call":       func(t *rapid.T) { m.run(t, source.draw, 0, faultNone) },
			"more calls": func(t *rapid.T) { m.run(t, source.draw, 0, faultNone); m.run(t, source.draw, 0, faultNone) },
			"deletion": func(t *rapid.T) {
				draw := source.draw
				if m.w.deletes && rapid.IntRange(0, 3).Draw(t, "of incidents") == 3 {
					draw = source.drawDeletion
				}
				m.run(t, draw, 0, faultNone)
			},
			"transaction": func(t *rapid.T) { m.run(t, source.drawTx, 0, faultNone) },
			"fault": func(t *rapid.T) {
				draw := source.draw
				if rapid.IntRange(0, 2).Draw(t, "of a transaction") == 2 {
					draw = source.drawTx
				}
				m.run(t, draw, rapid.IntRange(0, 4).Draw(t, "at"), rapid.SampledFrom(faults).Draw(t, "fault"))
			},
			"clock": func(t *rapid.T) { m.w.now = m.w.now.Add(rapid.SampledFrom(ticks).Draw(t, "tick")) },
		})
		if err := m.finish(); err != nil {
			t.Fatal(err)
		}
	}
}

// ticks are the amounts by which the clock advances or, if negative, goes back.
var ticks = []time.Duration{
	time.Microsecond, time.Second, 10 * time.Minute, time.Hour, -time.Second, -20 * time.Minute,
}

func (m *machine) run(t *rapid.T, draw func(source) call, at int, f fault) {
	c := draw(source{t: t, w: m.w})
	switch f {
	case faultNone:
		t.Log(c)
	case faultCanceled:
		t.Logf("%v, %s", c, f)
	default:
		t.Logf("%v, the store's call %d %s", c, at, f)
	}
	caller := m.callers[rapid.IntRange(0, len(m.callers)-1).Draw(t, "caller")]
	if err := m.step(c, caller, at, f); err != nil {
		t.Fatal(err)
	}
}
