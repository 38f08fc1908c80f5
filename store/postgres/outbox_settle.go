package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

// settlementsSQL lists the settlements with their numbers, which begin at 1.
const settlementsSQL = `unnest(?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::smallint[], ?::bigint[], ?::text[], ?::integer[]{name arrays})
		WITH ORDINALITY AS s (organization_id, identifier, replayed, sequence, fence, outcome, after, error, before{names}, place)`

// isClaimedSQL reports whether the ticket of a settlement is valid. The fence identifies the
// claim. The activity may come after next if the notifier wants only some types, when pending is not
// NULL, or if others were delivered before. The condition on place always holds: see claimSQL.
const isClaimedSQL = `o.fence = s.fence AND o.due < 'infinity' AND $1 = $1::text AND s.place + 0 = s.place
		AND (o.next = s.sequence OR (o.pending IS NOT NULL OR s.before > 0) AND s.sequence > o.next AND s.sequence <= o.last)`

// settleSQL skips queues that another transaction has locked, so that a long transaction
// delays its own incident only. It locks the other queues before it decides about them, so
// that it sees activities that were appended in the meantime.
const settleSQL = `
WITH mine AS (
	SELECT s.*, o.last, o.attempts{o.reminder}, s.outcome = ` + delivered + ` OR s.outcome = ` + park + ` AS ends,
		(s.outcome = ` + delivered + ` OR s.outcome = ` + park + ` AND s.replayed = 0) AND o.last = s.sequence AS leaves
	FROM ` + settlementsSQL + `
	JOIN {table} o
		ON {o=s}
	WHERE ` + isClaimedSQL + `
	FOR UPDATE OF o SKIP LOCKED
), gone AS (
	DELETE FROM {table} o
	USING mine m
	WHERE {o=m} AND m.leaves
), kept AS (
	UPDATE {table} o
	SET next = CASE
			WHEN m.ends AND m.replayed = 0 THEN m.sequence + 1
			WHEN m.before > 0 THEN m.sequence
			ELSE o.next
		END,
		pending = o.pending - m.before - CASE WHEN m.ends AND m.replayed = 0 THEN 1 ELSE 0 END,
		due = CASE
			WHEN m.outcome = ` + retry + ` THEN now() + m.after * interval '1 microsecond'
			WHEN m.outcome = ` + park + ` AND m.replayed > 0 THEN 'infinity'
			ELSE now()
		END,
		ready = m.outcome <> ` + retry + ` AND NOT (m.outcome = ` + park + ` AND m.replayed > 0),
		since = CASE WHEN m.ends OR m.before > 0 THEN now() ELSE o.since END,
		attempts = CASE
			WHEN m.outcome = ` + release + ` THEN m.attempts - 1
			WHEN m.ends AND m.replayed = 0 THEN 0
			ELSE m.attempts
		END,
		fence = o.fence + 1, -- it is settled once
		error = m.error
	FROM mine m
	WHERE {o=m} AND NOT m.leaves
), parked AS (
	INSERT INTO {table} AS o ({key}, next, last, due, since, fence, attempts, error{reminder})
	SELECT {m.key}, m.sequence, m.sequence, 'infinity', now(), m.fence + 1, m.attempts, m.error{m.reminder}
	FROM mine m
	WHERE m.outcome = ` + park + ` AND m.replayed = 0{parked twice}
)
SELECT place FROM mine`

// The values of [incident.Outcome] in the text of a statement.
const delivered, retry, release, park = "1", "2", "3", "4"

const stillClaimedSQL = `
SELECT s.place
FROM ` + settlementsSQL + `
JOIN {table} o
	ON {o=s}
WHERE ` + isClaimedSQL

// Settle implements [incident.OutboxStore], with a statement for each table that the settlements
// name.
func (s *Store) Settle(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
	if s.tx != nil {
		return nil, s.translate(ctx, "settle", errOutboxTx)
	}
	var unnamed, named []int
	for i := range all {
		if all[i].Notifier == "" && all[i].Ticket.Reminder == "" {
			unnamed = append(unnamed, i)
		} else {
			named = append(named, i)
		}
	}
	busy, err = s.settleIn(ctx, unnamedTable, all, unnamed)
	if len(named) > 0 {
		more, failed := s.settleIn(ctx, namedTable, all, named)
		busy, err = append(busy, more...), errors.Join(err, failed)
	}
	return busy, err
}

// settleIn settles the settlements with the given indexes in a table. Only if the first
// statement settled less than all, a second statement finds the claims that are still valid:
// their queues were locked.
func (s *Store) settleIn(ctx context.Context, t *outboxTable, all []incident.Settlement, indexes []int) (busy []int, err error) {
	if len(indexes) == 0 {
		return nil, ctx.Err()
	}
	settled, err := s.runSettlements(ctx, t, t.settle, all, indexes)
	if err != nil || len(settled) == len(indexes) {
		return nil, err
	}
	isSettled := make(map[int]bool, len(settled))
	for _, i := range settled {
		isSettled[i] = true
	}
	missing := slices.DeleteFunc(indexes, func(i int) bool { return isSettled[i] })
	return s.runSettlements(ctx, t, t.stillClaimed, all, missing)
}

// runSettlements runs a statement about the settlements with the given indexes, and returns the
// indexes in its answer.
func (s *Store) runSettlements(ctx context.Context, t *outboxTable, text string, all []incident.Settlement, indexes []int) ([]int, error) {
	if s.citus == nil {
		return s.settleOf(ctx, t, text, all, indexes, s.statementOfAll)
	}
	return byOrganization(all, indexes, func(indexes []int) ([]int, error) {
		return s.settleOf(ctx, t, text, all, indexes, s.statement)
	})
}

// settleOf runs a statement, which begin begins.
func (s *Store) settleOf(
	ctx context.Context, t *outboxTable, text string, all []incident.Settlement, indexes []int, begin func(any) *statement,
) ([]int, error) {
	c := &call{op: "settle"}
	org := string(all[indexes[0]].Key.OrganizationID)
	found, err := repeating(ctx, s, func() ([]int, error) {
		st := begin(counted{org, c}).add(text, settlementArrays(t, all, indexes)...)
		return queryCounted(ctx, s, c, st, func(rows rowSet) (found []int, err error) {
			number := 0
			err = scanEach(rows, func() { found = append(found, indexes[number-1]) }, integer(&number))
			return found, err
		})
	})
	return found, s.callError(ctx, c, err)
}

// settlementArrays returns the values of the settlements with the given indexes, as the texts of arrays.
func settlementArrays(t *outboxTable, all []incident.Settlement, indexes []int) []any {
	var w arrayWriter
	texts := func(of func(*incident.Settlement) string) string {
		return w.texts(len(indexes), func(i int) string { return of(&all[indexes[i]]) })
	}
	numbers := func(of func(*incident.Settlement) int64) string {
		return w.numbers(len(indexes), func(i int) int64 { return of(&all[indexes[i]]) })
	}
	arrays := []any{
		texts(func(s *incident.Settlement) string { return string(s.Key.OrganizationID) }),
		numbers(func(s *incident.Settlement) int64 { return s.Key.Identifier }),
		numbers(replayedOf),
		numbers(func(s *incident.Settlement) int64 { return s.Sequence }),
		numbers(func(s *incident.Settlement) int64 { return s.Fence }),
		numbers(func(s *incident.Settlement) int64 { return int64(s.Outcome) }),
		numbers(func(s *incident.Settlement) int64 { return s.After.Microseconds() }),
		texts(func(s *incident.Settlement) string { return s.Error }),
		numbers(func(s *incident.Settlement) int64 { return int64(s.Before) }),
	}
	if t.hasNames {
		arrays = append(arrays,
			texts(func(s *incident.Settlement) string { return s.Notifier }),
			texts(func(s *incident.Settlement) string { return s.Ticket.Reminder }))
	}
	return arrays
}

// replayedOf returns the column replayed of the queue of a settlement.
func replayedOf(s *incident.Settlement) int64 {
	if s.Replayed {
		return s.Sequence
	}
	return 0
}
