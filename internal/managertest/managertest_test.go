package managertest

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// TestMain has TestModel run 2,000 sequences, unless the command line sets a number.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func newMemory(*testing.T) incident.Store { return memory.New() }

func TestModel(t *testing.T) { Model(t, newMemory) }

func TestLinearizable(t *testing.T) { Linearizable(t, newMemory) }
