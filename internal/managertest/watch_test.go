package managertest

import (
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func newWatching(t *testing.T, decorate func(m incident.Manager) incident.Manager) Watching {
	t.Helper()
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	decorated := decorate(m)
	return Watching{Writer: decorated, Watcher: decorated, Observers: 4, Writes: 400, Many: 1010, Within: 30 * time.Second}
}

func TestWatching(t *testing.T) {
	w := newWatching(t, func(m incident.Manager) incident.Manager { return m })
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// 1,000 observers miss nothing.
func TestWatching_manyObservers(t *testing.T) {
	w := newWatching(t, func(m incident.Manager) incident.Manager { return m })
	w.Observers, w.Writes, w.Many = 500, 100, 0
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
