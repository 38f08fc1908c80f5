package sqlite_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/sqlite"
)

func newStore(opts *sqlite.Options) func(t *testing.T) incident.Store {
	return func(t *testing.T) incident.Store { return mustOpen(t, newPath(t), opts) }
}

func TestModel(t *testing.T) { managertest.Model(t, newStore(nil)) }

// With SingleProcess the cache is used.
func TestModel_singleProcess(t *testing.T) {
	managertest.Model(t, newStore(&sqlite.Options{SingleProcess: true, Readers: 1}))
}

func TestLinearizable(t *testing.T) { managertest.Linearizable(t, newStore(nil)) }

func TestLinearizable_singleProcess(t *testing.T) {
	managertest.Linearizable(t, newStore(&sqlite.Options{SingleProcess: true}))
}
