package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

const taskSQL = `SELECT holder, until FROM incident_task WHERE task = ?`

const takeTaskSQL = `
INSERT INTO incident_task (task, holder, until) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET holder = ?2, until = ?3`

// Lease implements [incident.RetentionStore]. All processes share the clock of the machine.
func (s *Store) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	if s.tx != nil {
		return incident.TaskLease{}, translate(ctx, "lease", errRetentionTx)
	}
	return put(ctx, s, "lease", func(ctx context.Context, q session) (l incident.TaskLease, err error) {
		at := now()
		l.Now = timeOf(at)
		var other string
		var until int64
		if _, err := queryOne(ctx, q, taskSQL, []any{task}, text(&other), integer(&until)); err != nil {
			return l, err
		}
		if other != holder && until > at {
			l.Wait = time.Duration(until-at) * time.Microsecond
			return l, nil
		}
		_, err = q.exec(ctx, takeTaskSQL, task, holder, later(at, d))
		return l, err
	})
}
