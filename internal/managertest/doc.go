// Package managertest checks an [incident.Manager] over any store: by random
// sequences of calls that are compared with a plain model of the documented
// rules, and by concurrent histories that must be linearizable.
//
// Both take a factory, which returns a new and empty store, and report to the
// test that they are given. A check needs nothing of a store but its contract.
package managertest

import (
	"testing"

	"github.com/incidentkit/incident"
)

// NewStore returns a store without any incident, and has the test clean it up.
type NewStore = func(t *testing.T) incident.Store
