package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// A deletion record is removed when it is older than [incident.FeedMemory]. The feed no longer knows
// the changes before the transaction of a removed record: incident_history.forgotten is the number
// of the latest such transaction. The clock decides only how long records stay. The answers of the
// feed do not depend on the clock.

// mostForgotten is the most deletion records that a write removes.
const mostForgotten = 500

const oldestRecordSQL = `SELECT date_deleted, changed FROM incident_deleted ORDER BY changed, organization_id, identifier LIMIT 1`

// hasForgettable reports whether a deletion record can be removed.
func hasForgettable(ctx context.Context, q session) (bool, error) {
	var date, changed int64
	found, err := queryOne(ctx, q, oldestRecordSQL, nil, integer(&date), integer(&changed))
	if err != nil || !found {
		return false, err
	}
	present, err := readPosition(ctx, q)
	return isForgettable(date, changed, present.forgotten), err
}

// isForgettable reports whether no position needs a record: the record is older than all positions
// that must be known, or the positions before its transaction are a Reset already.
func isForgettable(date, changed, forgotten int64) bool {
	return changed <= forgotten || date < now()-incident.FeedMemory.Microseconds()
}

// record is the key of a deletion record.
type record struct {
	changed, identifier int64
	org                 string
}

const recordsSQL = `
SELECT date_deleted, changed, organization_id, identifier FROM incident_deleted ORDER BY changed, organization_id, identifier LIMIT ?`

const removeRecordsSQL = `DELETE FROM incident_deleted WHERE (changed, organization_id, identifier) <= (?, ?, ?)`

// forget removes the oldest deletion records, and reports whether it has removed all that it can.
func forget(ctx context.Context, q session) (all bool, err error) {
	present, err := readPosition(ctx, q)
	if err != nil {
		return false, err
	}
	var date int64
	var r, last record
	n, ended := 0, false
	err = queryEach(ctx, q, recordsSQL, []any{mostForgotten}, func() {
		if ended = ended || !isForgettable(date, r.changed, present.forgotten); !ended {
			n, last = n+1, r
		}
	}, integer(&date), integer(&r.changed), text(&r.org), integer(&r.identifier))
	if err != nil || n == 0 {
		return n == 0, err
	}
	if _, err := q.exec(ctx, removeRecordsSQL, last.changed, last.org, last.identifier); err != nil {
		return false, err
	}
	return n < mostForgotten, resetBefore(ctx, q, last.changed)
}

// resetBefore makes the positions before a transaction a Reset.
func resetBefore(ctx context.Context, q session, number int64) error {
	_, err := q.exec(ctx, `UPDATE incident_history SET forgotten = ?1 WHERE forgotten < ?1`, number)
	return err
}
