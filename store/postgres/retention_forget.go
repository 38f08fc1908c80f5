package postgres

import "context"

// maxForgotten bounds the records that a call removes. It is a literal, so that the planner knows
// how few they are.
const maxForgotten = "1000"

// forgettableSQL reports whether the oldest record may be removed, and the horizon of removals:
// the number below which all transactions have ended.
const forgettableSQL = `
SELECT pg_snapshot_xmin(pg_current_snapshot())::text, (
		SELECT date_deleted < now() - ?::bigint * interval '1 microsecond'
		FROM @incident_deleted
		ORDER BY changed
		LIMIT 1
	)
WHERE $1 = $1::text`

// forgetSQL removes records of deleted incidents, and the rows that writes without a lock left
// behind the deletion. A position of the feed is a Reset if a transaction up to
// incident_schema.forgotten is outside its snapshot. Every later position contains them all,
// since they are below the horizon: however long a transaction lasts, it causes no Reset of new
// positions.
//
// The horizon is a parameter, because servers of a distributed database have transaction numbers
// of their own.
const forgetSQL = `
WITH old AS MATERIALIZED (` + belowSQL + `?::xid8` + oldestSQL + `
), ` + removeOldSQL + `
UPDATE @incident_schema
SET forgotten = greatest(forgotten, (SELECT max(changed) FROM old))
WHERE $1 = $1::text AND EXISTS (SELECT FROM old)`

// belowSQL and oldestSQL, with the horizon between them, find the records to remove.
const (
	belowSQL = `
	SELECT organization_id, identifier, changed
	FROM (
		SELECT organization_id, identifier, changed, date_deleted
		FROM @incident_deleted
		WHERE changed < `
	oldestSQL = `
		ORDER BY changed
		LIMIT ` + maxForgotten + `
		FOR UPDATE SKIP LOCKED
	) d
	WHERE date_deleted < now() - ?::bigint * interval '1 microsecond'
	LIMIT ` + maxForgotten
)

// removeOldSQL removes the records. As in claimSQL, conditions that always hold bound the rows that
// the planner expects.
const removeOldSQL = `removed AS (
	DELETE FROM @incident_deleted d
	USING old
	WHERE d.organization_id = old.organization_id AND d.identifier = old.identifier AND old.identifier + 0 > 0
), seen AS (
	DELETE FROM @incident_seen s
	USING old
	WHERE s.organization_id = old.organization_id AND s.identifier = old.identifier AND old.identifier + 0 > 0
), followed AS (
	DELETE FROM @incident_subscription s
	USING old
	WHERE s.organization_id = old.organization_id AND s.identifier = old.identifier AND old.identifier + 0 > 0
)`

// forget removes some records of incidents that were deleted more than feedMemory ago.
func (s *Store) forget(ctx context.Context, op string) error {
	if s.citus != nil {
		return s.forgetOnNodes(ctx, op)
	}
	memory := s.feedMemory.Microseconds()
	horizon, isDue := "", false
	st := s.statementOfAll("").add(forgettableSQL, memory)
	_, err := query(ctx, s, op, st, func(rows rowSet) (none struct{}, err error) {
		err = scanOne(rows, text(&horizon), boolean(&isDue))
		return none, err
	})
	if err != nil || !isDue {
		return err
	}
	return s.write(ctx, op, func(s *Store, c *call) error {
		st := s.statementOfAll(counted{"", c}).add(forgetSQL, horizon, memory)
		_, err := queryCounted(ctx, s, c, st, func(rowSet) (none struct{}, err error) { return none, nil })
		return err
	})
}
