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
		return startChild(t, task{URL: server.URL(), Number: number, Contends: true, Library: library, Continues: number < 2})
	}
	children := []*child{start(0, current), start(1, current)}
	for deadline := time.Now().Add(2 * time.Minute); mustVersion(t, m, key) < before+20; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the processes make no progress")
		}
	}
	mustMigrateTo(t, pool, nil, next)
	children = append(children, start(2, next), start(3, current))
	for _, c := range children[:2] { // they write until the migration has ended
		_, err := c.stdin.Write([]byte("\n"))
		mustDo(t, err)
	}
	changed := mustContend(t, children...)
	if got := mustVersion(t, m, key) - before; got != int64(changed) {
		t.Errorf("%d changes were acknowledged, and %d made", changed, got)
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}
