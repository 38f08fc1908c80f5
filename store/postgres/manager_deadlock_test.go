package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
)

// MarkDuplicate locks two incidents. If that deadlocks with a transaction of the host, the call begins
// again, and succeeds when the host's transaction has ended.
func TestMarkDuplicate_deadlock(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	m := mustManager(t, s)
	first, second := mustBeginAnew(t, m, "rule 1"), mustBeginAnew(t, m, "rule 2")
	host, pool := mustOpen(t, url, 1).MustBegin(), mustOpen(t, url, 1)
	defer host.Rollback()
	const lockSQL = "SELECT FROM incident WHERE identifier = $1 FOR UPDATE"
	host.MustExec("SET LOCAL deadlock_timeout = '1min'") // the call notices the deadlock first
	host.MustExec(lockSQL, second.Identifier)
	var r incident.Result
	done := make(chan error, 1)
	go func() {
		var err error
		r, err = m.MarkDuplicate(t.Context(), first, incident.Duplicate{UserID: "ada", Of: second.Identifier})
		done <- err
	}()
	mustWait(t, func() (waits bool, err error) {
		err = pool.Get(&waits, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")
		return waits || len(done) > 0, err
	})
	if _, err := host.Exec(lockSQL, first.Identifier); err != nil {
		t.Errorf("the transaction of the host = %v", err)
	}
	if err := host.Rollback(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil || !r.Changed {
		t.Errorf("MarkDuplicate() = %+v, %v, want a change", r, err)
	}
	if m.Stats().Conflicts == 0 {
		t.Error("there was no deadlock")
	}
}
