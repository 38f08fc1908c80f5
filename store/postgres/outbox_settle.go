package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// settlementsSQL lists the settlements with their numbers, which begin at 1.
const settlementsSQL = `unnest(?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::smallint[], ?::bigint[], ?::text[])
		WITH ORDINALITY AS s (organization_id, identifier, replayed, sequence, fence, outcome, after, error, place)`

// settleSQL skips queues that another transaction has locked, so that a long transaction
// delays its own incident only. It locks the other queues before it decides about them, so
// that it sees activities that were appended in the meantime.
const settleSQL = `
WITH mine AS (
	SELECT s.*, o.last, o.attempts, s.outcome = ` + delivered + ` OR s.outcome = ` + park + ` AS ends,
		(s.outcome = ` + delivered + ` OR s.outcome = ` + park + ` AND s.replayed = 0) AND o.last = s.sequence AS leaves
	FROM ` + settlementsSQL + `
	JOIN @incident_outbox o
		ON o.organization_id = s.organization_id AND o.identifier = s.identifier AND o.replayed = s.replayed
	WHERE o.fence = s.fence AND o.next = s.sequence AND o.due < 'infinity' AND $1 = $1::text
	FOR UPDATE OF o SKIP LOCKED
), gone AS (
	DELETE FROM @incident_outbox o
	USING mine m
	WHERE o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed AND m.leaves
), kept AS (
	UPDATE @incident_outbox o
	SET next = CASE WHEN m.ends AND m.replayed = 0 THEN m.sequence + 1 ELSE o.next END,
		due = CASE
			WHEN m.outcome = ` + retry + ` THEN now() + m.after * interval '1 microsecond'
			WHEN m.outcome = ` + park + ` AND m.replayed > 0 THEN 'infinity'
			ELSE now()
		END,
		ready = m.outcome <> ` + retry + ` AND NOT (m.outcome = ` + park + ` AND m.replayed > 0),
		since = CASE WHEN m.ends THEN now() ELSE o.since END,
		attempts = CASE
			WHEN m.outcome = ` + release + ` THEN m.attempts - 1
			WHEN m.ends AND m.replayed = 0 THEN 0
			ELSE m.attempts
		END,
		fence = o.fence + 1, -- it is settled once
		error = m.error
	FROM mine m
	WHERE o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed AND NOT m.leaves
), parked AS (
	INSERT INTO @incident_outbox (organization_id, identifier, replayed, next, last, due, since, fence, attempts, error)
	SELECT m.organization_id, m.identifier, m.sequence, m.sequence, m.sequence, 'infinity', now(), m.fence + 1, m.attempts, m.error
	FROM mine m
	WHERE m.outcome = ` + park + ` AND m.replayed = 0
)
SELECT place FROM mine`

// The values of [incident.Outcome] in the text of a statement.
const delivered, retry, release, park = "1", "2", "3", "4"

const stillClaimedSQL = `
SELECT s.place
FROM ` + settlementsSQL + `
JOIN @incident_outbox o
	ON o.organization_id = s.organization_id AND o.identifier = s.identifier AND o.replayed = s.replayed
WHERE o.fence = s.fence AND o.next = s.sequence AND o.due < 'infinity' AND $1 = $1::text`

// Settle implements [incident.OutboxStore]. Only if the first statement settled less than all,
// a second statement finds the claims that are still valid: their queues were locked.
func (s *Store) Settle(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
	if s.tx != nil {
		return nil, s.translate(ctx, "settle", errOutboxTx)
	}
	indexes, err := s.settlementIndexes(ctx, settleSQL, all)
	if err != nil || len(indexes) == len(all) {
		return nil, err
	}
	settled := make([]bool, len(all))
	for _, i := range indexes {
		settled[i] = true
	}
	var missing []incident.Settlement
	var at []int
	for i := range all {
		if !settled[i] {
			missing, at = append(missing, all[i]), append(at, i)
		}
	}
	indexes, err = s.settlementIndexes(ctx, stillClaimedSQL, missing)
	for _, i := range indexes {
		busy = append(busy, at[i])
	}
	return busy, err
}

// settlementIndexes runs a statement about settlements, and returns the indexes of those in
// its answer.
func (s *Store) settlementIndexes(ctx context.Context, text string, all []incident.Settlement) ([]int, error) {
	c := &call{op: "settle"}
	indexes, err := repeating(ctx, s, func() ([]int, error) {
		st := s.statement(counted{"", c}).add(text, settlementArrays(all)...)
		return queryCounted(ctx, s, c, st, func(rows rowSet) (indexes []int, err error) {
			number := 0
			err = scanEach(rows, func() { indexes = append(indexes, number-1) }, integer(&number))
			return indexes, err
		})
	})
	return indexes, s.callError(ctx, c, err)
}

func settlementArrays(all []incident.Settlement) []any {
	n := len(all)
	orgs, errors := make(pq.StringArray, n), make(pq.StringArray, n)
	identifiers, replayed, sequences := make(pq.Int64Array, n), make(pq.Int64Array, n), make(pq.Int64Array, n)
	fences, outcomes, after := make(pq.Int64Array, n), make(pq.Int64Array, n), make(pq.Int64Array, n)
	for i, s := range all {
		orgs[i], identifiers[i], sequences[i], fences[i] = string(s.Key.OrganizationID), s.Key.Identifier, s.Sequence, s.Fence
		outcomes[i], after[i], errors[i] = int64(s.Outcome), s.After.Microseconds(), s.Error
		if s.Replayed {
			replayed[i] = s.Sequence
		}
	}
	return []any{orgs, identifiers, replayed, sequences, fences, outcomes, after, errors}
}
