package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// The column since of a reminder is its time, also while the reminder is retried.
const backlogSQL = `
SELECT notifier,
	coalesce(sum(pending) FILTER (WHERE waits AND NOT later), 0),
	coalesce(sum(pending) FILTER (WHERE NOT waits), 0),
	coalesce(sum(pending) FILTER (WHERE waits AND later), 0),
	coalesce(min(since) FILTER (WHERE waits AND NOT later), ?1)
FROM (
	SELECT notifier, pending, since, due < 9223372036854775807 AS waits, reminder <> '' AND replayed = 0 AND since > ?1 AS later FROM incident_queue
)
GROUP BY notifier`

// Backlog implements [incident.OutboxStore].
func (s *Store) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	return read(ctx, s, "backlog", longRead, func(ctx context.Context, q session) (map[string]incident.Backlog, error) {
		all := map[string]incident.Backlog{}
		var name string
		var b incident.Backlog
		var since int64
		at := now()
		err := queryEach(ctx, q, backlogSQL, []any{at}, func() {
			b.Oldest = max(0, time.Duration(at-since)*time.Microsecond)
			all[name] = b
		}, text(&name), integer(&b.Pending), integer(&b.Parked), integer(&b.Reminders), integer(&since))
		return all, err
	})
}

// The queues of a notifier are in three indexes.
var discardSQL = [...]string{
	discardOf(`ready = 1`),
	discardOf(`ready = 0 AND due < 9223372036854775807`),
	discardOf(`due = 9223372036854775807`),
}

func discardOf(condition string) string {
	return `
DELETE FROM incident_queue
WHERE (organization_id, identifier, notifier, reminder, replayed) IN (
	SELECT organization_id, identifier, notifier, reminder, replayed FROM incident_queue
	WHERE notifier = ? AND ` + condition + ` LIMIT ?
)
RETURNING pending`
}

// Discard implements [incident.OutboxStore].
func (s *Store) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	if s.tx != nil {
		return 0, translate(ctx, "discard", errOutboxTx)
	}
	return put(ctx, s, "discard", func(ctx context.Context, q session) (int, error) {
		count, rows, pending := 0, 0, 0
		for _, statement := range discardSQL {
			if rows >= limit {
				break
			}
			err := queryEach(ctx, q, statement, []any{notifier, limit - rows}, func() { rows++; count += pending }, integer(&pending))
			if err != nil {
				return 0, err
			}
		}
		return count, nil
	})
}
