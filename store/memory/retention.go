package memory

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.RetentionStore = (*Store)(nil)

var errRetentionInTx = fmt.Errorf("memory: %w: Purge, EraseUser, DeleteOrganization and Lease must not be called in a transaction", incident.ErrInvalid)

// Purge implements [incident.RetentionStore]. It looks for due incidents under the
// lock for reading, chunk by chunk, and deletes them at once under the lock for writing. In between, an
// incident can be reopened, moved or deleted, so it is checked again.
func (s *Store) Purge(ctx context.Context, q incident.PurgeQuery) (batch incident.PurgeBatch, err error) {
	if s.inTx() {
		return batch, errRetentionInTx
	}
	from := listKey{started: math.MinInt64}
	if q.After != nil {
		from = listKeyOf(q.After.DateStarted, q.After.Identifier)
	}
	for {
		found, more, err := s.findDue(ctx, &q, from)
		if err != nil || len(found) == 0 {
			return batch, err
		}
		if err := s.acquire(ctx, own); err != nil {
			return batch, err
		}
		last := s.purge(&q, found, &batch)
		s.release(own)
		if last != (listKey{}) {
			if more {
				batch.Next = &incident.Position{DateStarted: timeOf(last.started), Identifier: last.identifier}
			}
			return batch, nil
		}
		from = found[len(found)-1]
	}
}

// isDue reports whether an incident is closed and was closed before a time.
func isDue(inc *incident.Incident, before time.Time) bool {
	return inc.Status == incident.StatusClosed && inc.DateClosed != nil && inc.DateClosed.Before(before)
}

// findDue returns the next due incidents of the query after a position, at least one if there
// is any. more reports whether another one follows.
func (s *Store) findDue(ctx context.Context, q *incident.PurgeQuery, from listKey) (found []listKey, more bool, err error) {
	left, ended := batchWeight, false
	for !more && !ended {
		if err := s.acquire(ctx, scan); err != nil {
			return nil, false, err
		}
		o := s.organizations[q.OrganizationID]
		if o == nil {
			s.release(scan)
			return nil, false, nil
		}
		it, ok := o.closed.after(from, true)
		for n := 0; ok && !more && n < chunk; n, ok = n+1, it.step(true) {
			from = it.key()
			if from.started > q.ClosedBefore.UnixMicro() { // so it was closed later
				ok = false
				break
			}
			r := o.get(from.identifier)
			switch {
			case !isDue(&r.incident, q.ClosedBefore):
			case len(found) == q.Limit || left <= 0:
				more = true
			default:
				left -= o.weight(r)
				found = append(found, from)
			}
		}
		ended = !ok
		s.release(scan)
	}
	return found, more, nil
}

// purge deletes the found incidents that are still due, or holds them back. It returns the last
// that it visited, or the zero key.
func (s *Store) purge(q *incident.PurgeQuery, found []listKey, batch *incident.PurgeBatch) (last listKey) {
	o := s.organizations[q.OrganizationID]
	for _, k := range found {
		if !o.has(k.identifier) {
			continue
		}
		r := o.get(k.identifier)
		if !isDue(&r.incident, q.ClosedBefore) {
			continue
		}
		last = k
		if len(s.queuesOf(o, r)) > 0 {
			batch.Held++
			continue
		}
		batch.Purged = append(batch.Purged, s.delete(o, r))
	}
	return last
}
