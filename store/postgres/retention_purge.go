package postgres

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// maxDeletedActivities bounds the activities of a batch, unless its only incident has more.
const maxDeletedActivities = 5000

// dueSQL finds incidents in the order of incident_list. A closed incident started before it was
// closed, which bounds the range.
const dueSQL = `
SELECT identifier, date_started, activities
FROM @incident
WHERE organization_id = $1 AND status = 2 AND date_started < ?
	AND (date_started, identifier) > (?::timestamptz, ?::bigint) AND date_closed < ?
ORDER BY date_started, identifier
LIMIT ?`

// stillDueSQL counts incidents that are still due.
const stillDueSQL = `
SELECT count(*)
FROM @incident
WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND status = 2 AND date_closed < ?`

// heldBackSQL finds the incidents with a row of the outbox that is not parked, or that another
// transaction has locked. It locks the parked rows, so that they are not replayed meanwhile. The
// caller has locked the incidents, so that no row is added.
const heldBackSQL = `
WITH unnamed AS MATERIALIZED (
	SELECT identifier, replayed
	FROM @incident_outbox
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND due = 'infinity'
	FOR UPDATE SKIP LOCKED
), named AS MATERIALIZED (
	SELECT identifier, notifier, reminder, replayed
	FROM @incident_queue
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND due = 'infinity'
	FOR UPDATE SKIP LOCKED
)
SELECT identifier
FROM @incident_outbox
WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
	AND (identifier, replayed) NOT IN (SELECT identifier, replayed FROM unnamed)
UNION ALL
SELECT identifier
FROM @incident_queue
WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
	AND (identifier, notifier, reminder, replayed) NOT IN (SELECT identifier, notifier, reminder, replayed FROM named)`

// Purge implements [incident.RetentionStore]. It holds back incidents that another transaction has
// locked, and never waits for one. It also removes some old records of deleted incidents.
func (s *Store) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	if s.tx != nil {
		return incident.PurgeBatch{}, s.translate(ctx, "purge", errRetentionInTx)
	}
	if err := s.forget(ctx, "purge"); err != nil {
		return incident.PurgeBatch{}, err
	}
	for {
		due, next, err := s.findDue(ctx, q)
		if err != nil || len(due) == 0 {
			return incident.PurgeBatch{}, err
		}
		b, err := inBatch(ctx, s, "purge", func(tx *Store) (incident.PurgeBatch, error) { return tx.purge(ctx, q, due) })
		if err != nil {
			return incident.PurgeBatch{}, err
		}
		if b.Next = next; next == nil || len(b.Purged)+b.Held > 0 {
			return b, nil
		}
		q.After = next // others have deleted these incidents, or changed them
	}
}

// findDue returns the next incidents of a batch. next is the position of the last, nil if no
// other incident is due.
func (s *Store) findDue(ctx context.Context, q incident.PurgeQuery) (due []int64, next *incident.Position, err error) {
	after := incident.Position{DateStarted: minTime}
	if q.After != nil {
		after = *q.After
	}
	st := s.statement(string(q.OrganizationID))
	before := st.parameter(q.ClosedBefore)
	st.add(dueSQL, before, after.DateStarted, after.Identifier, before, int64(min(q.Limit, math.MaxInt32))+1)
	_, err = query(ctx, s, "purge", st, func(rows rowSet) (none struct{}, err error) {
		var p, last incident.Position
		var activities, sum int64
		due, next = nil, nil
		err = scanEach(rows, func() {
			if sum += activities; len(due) == q.Limit || len(due) > 0 && sum > maxDeletedActivities {
				next = &incident.Position{DateStarted: last.DateStarted, Identifier: last.Identifier}
			}
			if next == nil {
				due, last = append(due, p.Identifier), p
			}
		}, integer(&p.Identifier), instant(&p.DateStarted), integer(&activities))
		return none, err
	})
	return due, next, err
}

// minTime is before every date of an incident.
var minTime = time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC)

// purge deletes the incidents that are still due, except those that it must hold back.
func (s *Store) purge(ctx context.Context, q incident.PurgeQuery, due []int64) (b incident.PurgeBatch, err error) {
	locked, err := s.lockIncidents(ctx, q.OrganizationID, due, &q.ClosedBefore)
	if err != nil {
		return b, err
	}
	if skipped := slices.DeleteFunc(slices.Clone(due), locked.has); len(skipped) > 0 {
		st := s.statement(string(q.OrganizationID)).add(stillDueSQL, pq.Int64Array(skipped), q.ClosedBefore)
		held, err := queryOnce(ctx, s, st, readIdentifier)
		if err != nil {
			return b, err
		}
		b.Held = int(held)
	}
	if len(locked) == 0 {
		return b, nil
	}
	ids := pq.Int64Array(locked.identifiers())
	st := s.statement(string(q.OrganizationID))
	all := st.parameter(ids)
	st.add(heldBackSQL, all, all, all, all)
	held, err := queryOnce(ctx, s, st, readIdentifiers)
	if err != nil {
		return b, err
	}
	n := len(locked)
	locked = slices.DeleteFunc(locked, func(inc incident.Incident) bool { return slices.Contains(held, inc.Identifier) })
	b.Held += n - len(locked)
	b.Purged, err = s.deleteLocked(ctx, q.OrganizationID, locked)
	inOrder(b.Purged, due)
	return b, err
}

// inOrder sorts deleted incidents in the order of identifiers. A statement returns them in the order of
// its plan.
func inOrder(deleted []incident.IncidentVersion, identifiers []int64) {
	index := make(map[int64]int, len(identifiers))
	for i, identifier := range identifiers {
		index[identifier] = i
	}
	slices.SortFunc(deleted, func(a, b incident.IncidentVersion) int {
		return cmp.Compare(index[a.Key.Identifier], index[b.Key.Identifier])
	})
}
