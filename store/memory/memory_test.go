package memory_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) incident.Store { return memory.New() })
}
