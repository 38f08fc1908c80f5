package managertest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMemory(*testing.T) incident.Store { return memory.New() }

func TestModel(t *testing.T) { Model(t, newMemory) }

func TestLinearizable(t *testing.T) { Linearizable(t, newMemory) }
