package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.UsedOutbox = (*Store)(nil)

// Queued implements [incident.UsedOutbox].
func (s *Store) Queued() bool { return s.queued.Load() }

// pendingSQL is the number of activities in a row that is not parked, or 1 for a reminder. A
// library of schema version 2 does not maintain pending.
const pendingSQL = `greatest(1, least(pending, last - next + 1))`

const backlogSQL = `
SELECT notifier,
	coalesce(sum(` + pendingSQL + `) FILTER (WHERE due < 'infinity' AND NOT is_future), 0)::bigint,
	count(*) FILTER (WHERE due = 'infinity'),
	count(*) FILTER (WHERE due < 'infinity' AND is_future),
	coalesce(extract(epoch FROM now() - min(since) FILTER (WHERE due < 'infinity' AND NOT is_future)) * 1000000, 0)::bigint
FROM (
	SELECT '' AS notifier, pending, next, last, due, since, false AS is_future
	FROM @incident_outbox
	WHERE $1 = $1::text
	UNION ALL
	SELECT notifier, pending, next, last, due, since, reminder <> '' AND since > now()
	FROM @incident_queue
) o
GROUP BY notifier`

// Backlog implements [incident.OutboxStore]. It reads the whole outbox, but that
// contains only reminders, and pending and parked notifications.
func (s *Store) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	st := s.statementOfAll("").add(backlogSQL)
	if s.citus != nil {
		return s.backlogOnNodes(ctx, st)
	}
	return query(ctx, s, "backlog", st, func(rows rowSet) (map[string]incident.Backlog, error) {
		all := map[string]incident.Backlog{}
		return all, addBacklog(all, rows)
	})
}

// addBacklog adds the numbers of each notifier.
func addBacklog(all map[string]incident.Backlog, rows rowSet) error {
	var notifier string
	var b incident.Backlog
	var oldest int64
	return scanEach(rows, func() {
		sum := all[notifier]
		sum.Pending, sum.Parked, sum.Reminders = sum.Pending+b.Pending, sum.Parked+b.Parked, sum.Reminders+b.Reminders
		sum.Oldest = max(sum.Oldest, time.Duration(oldest)*time.Microsecond)
		all[notifier] = sum
	}, text(&notifier), integer(&b.Pending), integer(&b.Parked), integer(&b.Reminders), integer(&oldest))
}

// discardSQL deletes rows of a notifier. Each part reads the rows of one partial index. The pages
// are materialized: a join could evaluate them several times, each time with other rows. As in
// claimSQL, a second limit and conditions that always hold bound the rows that the planner expects.
const discardSQL = `
WITH unnamed_page AS MATERIALIZED (
	SELECT * FROM (
		SELECT organization_id, identifier, replayed
		FROM @incident_outbox
		WHERE ?::text = '' AND $1 = $1::text
		ORDER BY organization_id, identifier, replayed
		LIMIT ?
		FOR UPDATE
	) o`

const discardNamedSQL = `
), named_page AS MATERIALIZED (
	SELECT *
	FROM (
		SELECT *
		FROM (
			SELECT * FROM (
				SELECT organization_id, identifier, notifier, reminder, replayed
				FROM @incident_queue
				WHERE notifier = ? AND ready
				ORDER BY organization_id, due
				LIMIT ?
				FOR UPDATE
			) o
			UNION ALL
			SELECT * FROM (
				SELECT organization_id, identifier, notifier, reminder, replayed
				FROM @incident_queue
				WHERE notifier = ? AND NOT ready AND due < 'infinity'
				ORDER BY due
				LIMIT ?
				FOR UPDATE
			) o
			UNION ALL
			SELECT * FROM (
				SELECT organization_id, identifier, notifier, reminder, replayed
				FROM @incident_queue
				WHERE notifier = ? AND due = 'infinity'
				ORDER BY organization_id, identifier, reminder, replayed
				LIMIT ?
				FOR UPDATE
			) o
		) q
		LIMIT ?::bigint - (SELECT count(*) FROM unnamed_page)
	) q`

const discardPagesSQL = `
), unnamed AS (
	DELETE FROM @incident_outbox o
	USING unnamed_page d
	WHERE o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.replayed = d.replayed
		AND d.identifier + 0 > 0 AND d.replayed + 0 >= 0
	RETURNING o.due, o.pending, o.next, o.last
), named AS (
	DELETE FROM @incident_queue o
	USING named_page d
	WHERE o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.notifier = d.notifier
		AND o.reminder = d.reminder AND o.replayed = d.replayed
		AND d.identifier + 0 > 0 AND d.replayed + 0 >= 0
	RETURNING o.due, o.pending, o.next, o.last
)
SELECT coalesce(sum(CASE WHEN due = 'infinity' THEN 1 ELSE ` + pendingSQL + ` END), 0)::bigint
FROM (SELECT * FROM unnamed UNION ALL SELECT * FROM named) d`

// Discard implements [incident.OutboxStore]. It waits for transactions that have locked a row.
// After a lost reply the count may be less than the number of discarded notifications, but is
// not 0 if the repetition deletes others.
func (s *Store) Discard(ctx context.Context, notifier string, limit int) (n int, err error) {
	if s.tx != nil {
		return 0, s.translate(ctx, "discard", errOutboxTx)
	}
	if s.citus != nil {
		return s.discardOnNodes(ctx, notifier, limit)
	}
	return s.discard(ctx, notifier, limit, s.statementOfAll, "")
}

// discard discards by a statement, which begin begins with an organization.
func (s *Store) discard(ctx context.Context, notifier string, limit int, begin func(any) *statement, org string) (n int, err error) {
	bound := usualBatchSQL
	if limit > 1000 {
		bound = largeBatchSQL
	}
	err = s.write(ctx, "discard", func(s *Store, c *call) error {
		st := begin(counted{org, c})
		name, most := st.parameter(notifier), st.parameter(limit)
		st.add(discardSQL, name, most).add(bound).add(discardNamedSQL, name, most, name, most, name, most, most).add(bound).add(discardPagesSQL)
		n, err = queryCounted(ctx, s, c, st, func(rows rowSet) (n int, err error) {
			err = scanOne(rows, integer(&n))
			return n, err
		})
		return err
	})
	return n, err
}
