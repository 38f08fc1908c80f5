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
	for _, g := range contract() {
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
type group struct {
	name  string
	cases []testCase
}

type testCase struct {
	name string
	run  caseFunc
}

// caseFunc checks one promise on an empty store.
type caseFunc func(t testing.TB, s incident.Store)
