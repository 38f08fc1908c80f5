package memory

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// lease is the right to do a task.
type lease struct {
	holder string
	until  time.Duration // on the clock of the outbox
}

// Lease implements [incident.RetentionStore].
func (s *Store) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	if err := s.acquire(ctx, write); err != nil {
		return incident.TaskLease{}, err
	}
	defer s.release(write)
	if s.inTx() {
		return incident.TaskLease{}, errRetentionInTx
	}
	at := time.Now()
	now := at.Sub(s.outbox.start)
	answer := incident.TaskLease{Now: timeOf(at.UnixMicro())}
	if held, ok := s.leases[task]; ok && held.holder != holder && held.until > now {
		answer.Wait = held.until - now
		return answer, nil
	}
	if d > 0 {
		s.leases[task] = lease{holder: holder, until: after(now, d)}
	} else {
		delete(s.leases, task)
	}
	return answer, nil
}
