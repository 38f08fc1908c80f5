package storetest_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

// myStore is the store under test. It may embed an existing store at first, and replace the
// methods in turn.
type myStore struct{ *memory.Store }

// openEmpty returns an empty store. For a database, this is the place to create a schema and to
// drop it in t.Cleanup.
func openEmpty(*testing.T) *myStore { return &myStore{memory.New()} }

// Prove that a store keeps the contract. A case that fails has the name of the requirement that
// the store does not meet, such as Apply/ChecksTheVersion.
func ExampleRun() {
	var t *testing.T // of the store's TestStore

	storetest.Run(t, func(t *testing.T) incident.Store { return openEmpty(t) })
}
