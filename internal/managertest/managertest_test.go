package managertest

import (
	"flag"
	"os"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/memory"
)

// TestMain has TestModel run 160 sequences, and 2,000 in a long run, unless the command
// line sets a number. Each planted fault of model_planted_test.go shows within 120 sequences.
func TestMain(m *testing.M) {
	checks := "40"
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		checks = "500"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	leaktest.Main(m)
}

func newMemory(*testing.T) incident.Store { return memory.New() }

func TestModel(t *testing.T) { Model(t, newMemory) }

func TestLinearizable(t *testing.T) { Linearizable(t, newMemory) }
