// Package managertest checks an [incident.Manager] over any [incident.Store], in two
// ways:
//
//   - [Model] makes random sequences of calls and compares each result with a plain model
//     of the documented rules (files model_*.go).
//   - [Linearizable] records concurrent histories and checks that each is linearizable
//     (files linear_*.go). [TogetherWorker] and [CheckTogether] do the same for several
//     processes.
//
// [Audit] and [AuditOutbox] check the invariants that hold after any calls (files
// audit*.go). Both checkers end with Audit.
//
// A checker takes a factory that returns a new, empty store, and reports to the given
// test. It requires nothing of a store beyond its contract:
//
//	func TestModel(t *testing.T) { managertest.Model(t, newStore) }
package managertest

import (
	"testing"

	"github.com/incidentkit/incident"
)

// NewStore returns an empty store and registers its cleanup with the test.
type NewStore = func(t *testing.T) incident.Store
