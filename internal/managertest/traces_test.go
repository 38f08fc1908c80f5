package managertest

import (
	"testing"

	"github.com/incidentkit/incident/store/memory"
)

// Nothing that a memory store can reach names a user who was erased, an organization that was
// deleted, or an incident that was purged.
func TestTraces(t *testing.T) {
	Traces(t, Traced{
		Open:  func(*testing.T) ErasableStore { return memory.New() },
		Find:  func(_ *testing.T, s ErasableStore, text string) Places { return FindInHeap(s, text) },
		Least: 5, Kept: Places{"memory.data.organizations": 1}, KeptPurged: Places{"memory.data.organizations": 1},
	})
}
