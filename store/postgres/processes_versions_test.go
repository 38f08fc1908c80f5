//go:build unix

package postgres_test

import (
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/managertest"
)

// No call fails while processes of two versions write, during the migration and after it.
func TestProcesses_versions(t *testing.T) {
	t.Parallel()
	server, pool := startServer(t)
	s := mustNew(t, pool, nil)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	before := mustVersion(t, m, key)
	start := func(number, library int) *child {
		return startChild(t, task{URL: server.URL(), Number: number, Contends: true, Library: library})
	}
	children := []*child{start(0, current), start(1, current)}
	for deadline := time.Now().Add(time.Minute); mustVersion(t, m, key) < before+20; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the processes make no progress")
		}
	}
	mustMigrateTo(t, pool, nil, next)
	during := mustVersion(t, m, key) - before
	children = append(children, start(2, next), start(3, current))
	changed := mustContend(t, children...)
	if first := int64(2 * contendingWriters * contendedWrites); during >= first {
		t.Errorf("all %d writes of the first processes were made before the migration ended", first)
	}
	if got := mustVersion(t, m, key) - before; got != int64(changed) {
		t.Errorf("%d changes were acknowledged, and %d made", changed, got)
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
}
