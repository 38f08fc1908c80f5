// Package storetest proves that a store keeps the contract of
// [incident.Store]. The whole test of a store is one call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) incident.Store { return memory.New() })
//	}
package storetest

import (
	"testing"

	"github.com/incidentkit/incident"
)

// Run runs every case, each as a subtest named after what it proves, such as
// "Apply/ChecksTheVersion". It returns when all have ended.
//
// newStore returns an empty store, which the case has to itself. It is called
// once for each case, while others run; what the store needs is released with
// t.Cleanup.
//
// Cases call the store from several goroutines at once, and expect a store
// that is not failing: no case of theirs may end in [incident.ErrUnavailable].
func Run(t *testing.T, newStore func(t *testing.T) incident.Store) {
	t.Helper()
	runAll(t, contract(), newStore)
}

func runAll[S incident.Store](t *testing.T, groups []group[S], newStore func(t *testing.T) S) {
	t.Helper()
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, newStore(t))
				})
			}
		})
	}
}

// group is the cases about one method or promise.
type group[S incident.Store] struct {
	name  string
	cases []testCase[S]
}

// testCase checks one promise on an empty store.
type testCase[S incident.Store] struct {
	name string
	run  func(t testing.TB, s S)
}

type (
	storeCase  = testCase[incident.Store]
	outboxCase = testCase[incident.OutboxStore]

	caseFunc = func(t testing.TB, s incident.Store)
)
