package storetest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The store that the broken ones are made of keeps the contract.
func TestRun_Memory(t *testing.T) {
	Run(t, func(*testing.T) incident.Store { return memory.New() })
}
