package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/incidentkit/incident"
)

// To repeat a write alone is unfair above READ COMMITTED. Each commit of a writer refuses all others
// that wait for the same row, so that with many writers and slow commits a call could lose again and
// again. Therefore a write that has lost maxLosses times runs in a READ COMMITTED transaction of its
// own, where it waits instead. A change moreover takes its place in a queue, and locks its rows, so that
// nothing changes between its snapshot and its write. The queue is an advisory lock: those who wait for
// a row get it in no order, because each commit makes another version of the row.

// maxLosses is how often a write repeats a plain statement that other writers disturb.
const maxLosses = 4

// waitsForTurn reports whether other writers have disturbed the call so often that its next attempt must
// wait for its turn. An attempt in a transaction has it.
func (c *call) waitsForTurn(s *Store) bool { return s.tx == nil && c.repeats.losses >= maxLosses }

// inTurn makes an attempt of a write in a READ COMMITTED transaction of its own, whose commit
// decides about the attempt. The transaction counts as grouped, because the write is the same
// that it would be alone.
func inTurn[T any](ctx context.Context, s *Store, c *call, attempt func(tx *Store) (T, error)) (v T, err error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return v, unsentError{err}
	}
	ended := false
	defer func() {
		if !ended {
			tx.rollBack()
		}
	}()
	tx.grouped = true
	v, err = attempt(&Store{database: s.database, tx: tx})
	if err = cmp.Or(err, ctx.Err()); err != nil {
		if !isRefusal(err) && !isVerdict(err) && !isDisturbed(err) {
			c.distrust() // the connection has failed: a repetition may succeed, as outside a transaction
		}
		return v, err
	}
	ended = true
	err = tx.commit(ctx)
	if err != nil && !isRefusal(err) && !errors.Is(err, sql.ErrTxDone) {
		c.distrust()
	}
	return v, err
}

// queueSQL waits in the order of arrival.
const queueSQL = `
SELECT pg_advisory_xact_lock(?::bigint)::text
WHERE $1 = $1::text`

// queueOf returns the number of the advisory lock of an incident or, for a new incident, of its
// organization. Two that share a number only wait for each other.
func (d *database) queueOf(key incident.Key) int64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "incident %s %d %s", d.options.Schema, key.Identifier, key.OrganizationID) // never fails
	return int64(h.Sum64())
}

const lockSlotsSQL = `
SELECT s.holder
FROM unnest(?::text[], ?::text[], ?::text[]) AS w (rule, project, query)
JOIN @incident_slot s ON s.organization_id = $1 AND s.alert_rule_id = w.rule AND s.project_id = w.project AND s.query_id = w.query
ORDER BY s.alert_rule_id, s.project_id, s.query_id
FOR NO KEY UPDATE OF s`

// lockFor waits for the change's place in its queue. Then it locks the rows at which the change meets
// other writers, in the order in which the change itself would lock them: the incident or, for a new
// incident, the counter of its organization, and then the slots. A later statement sees what was
// committed before.
func (s *Store) lockFor(ctx context.Context, c *incident.Change) error {
	org := string(c.Key.OrganizationID)
	nothing := func(rowSet) (none struct{}, err error) { return none, nil }
	if _, err := queryOnce(ctx, s, s.small(org).add(queueSQL, s.queueOf(c.Key)), nothing); err != nil {
		return err
	}
	row := s.small(org).add(lockSQL, c.Key.Identifier)
	if c.Key.Identifier == 0 {
		row = s.small(org).add(lockOrganizationSQL)
	}
	if _, err := queryOnce(ctx, s, row, readIdentifier); err != nil {
		return err
	}
	slots := slices.Concat(c.Claim, c.Release)
	if len(slots) == 0 {
		return nil
	}
	rules, projects, queries := slotArrays(slots)
	_, err := queryOnce(ctx, s, s.statement(org).add(lockSlotsSQL, rules, projects, queries), readIdentifiers)
	return err
}
