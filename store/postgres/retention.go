package postgres

import (
	"cmp"
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// The deletion of incidents is a transaction of several statements, because each of them must
// see what was committed before the locks of the previous one:
//
//  1. It locks incidents that no other transaction has locked, and reads them.
//  2. It deletes their rows in all tables.
//  3. It records each in incident_deleted, from which the feed reports it.
//
// No statement outside knows that an incident was deleted: it finds no row. A write that waits
// for the incident's lock finds none afterwards. SeenStore and SubscriptionStore write without
// that lock. They may leave a row of an incident that is deleted at the same time. Nobody reads
// such a row; forget and the end of DeleteOrganization delete it.
//
// No transaction here waits for a lock on an incident while it holds another lock. That would
// deadlock with a host's transaction over several incidents.

var _ incident.RetentionStore = (*Store)(nil)

var errRetentionInTx = &incident.FieldError{Field: "tx", Problem: "cannot purge, erase, delete an organization or lease; call the store outside the transaction"}

// inBatch runs f in a transaction of its own, and repeats the transaction while other writers
// disturb it. f returns the errors of the driver.
func inBatch[T any](ctx context.Context, s *Store, op string, f func(tx *Store) (T, error)) (T, error) {
	return repeating(ctx, s, func() (T, error) { return runBatch(ctx, s, op, f) })
}

func runBatch[T any](ctx context.Context, s *Store, op string, f func(tx *Store) (T, error)) (none T, err error) {
	if err := cmp.Or(ctx.Err(), s.checkSchema(ctx)); err != nil {
		return none, s.translate(ctx, op, err)
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return none, s.translate(ctx, op, err)
	}
	ended := false
	defer func() {
		if !ended {
			tx.rollBack()
		}
	}()
	v, err := f(&Store{database: s.database, tx: tx, origin: s})
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return none, s.translate(ctx, op, err)
	}
	ended = true
	if err := s.commit(ctx, tx); err != nil {
		return none, err
	}
	return v, nil
}

// exec runs a statement without an answer in a transaction. incident_run needs an answer.
func (s *Store) exec(ctx context.Context, st *statement) error {
	if s.citus != nil && !st.isOfAll {
		st.add("\nRETURNING 1")
	}
	_, err := queryOnce(ctx, s, st, func(rowSet) (none struct{}, err error) { return none, nil })
	return err
}

// raise has the tables refuse libraries that do not know deletions. On Citus it writes only if that is
// missing: a write would be one on all servers, in two phases, even if it changes no row.
func (s *Store) raise(ctx context.Context) error {
	if s.citus != nil {
		serves, err := queryOnce(ctx, s, s.statementOfAll("").add(servesSQL), readIdentifier)
		if err != nil || serves >= servesDeletions {
			return err
		}
	}
	return s.exec(ctx, s.statementOfAll("").add(raiseSQL))
}

// readIdentifiers reads a column of identifiers.
func readIdentifiers(rows rowSet) (all []int64, err error) {
	n := int64(0)
	err = scanEach(rows, func() { all = append(all, n) }, integer(&n))
	return all, err
}

// organizationsSQL steps from one organization to the next, however many incidents they have.
// It stops at the limit.
const organizationsSQL = `
WITH RECURSIVE step AS (
	SELECT (
		SELECT organization_id
		FROM @incident
		WHERE organization_id > $1
		ORDER BY organization_id
		LIMIT 1
	) AS organization_id, 1 AS number
	UNION ALL
	SELECT (
		SELECT i.organization_id
		FROM @incident i
		WHERE i.organization_id > step.organization_id
		ORDER BY i.organization_id
		LIMIT 1
	), step.number + 1
	FROM step
	WHERE step.organization_id IS NOT NULL AND step.number < ?
)
SELECT organization_id
FROM step
WHERE organization_id IS NOT NULL
ORDER BY number`

// Organizations implements [incident.RetentionStore].
func (s *Store) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	if s.citus != nil {
		return s.organizationsOnNodes(ctx, after, limit)
	}
	st := s.statementOfAll(string(after)).add(organizationsSQL, limit)
	return query(ctx, s, "organizations", st, func(rows rowSet) ([]incident.OrganizationID, error) {
		all := []incident.OrganizationID{}
		var org incident.OrganizationID
		err := scanEach(rows, func() { all = append(all, org) }, text(&org))
		return all, err
	})
}

// leaseSQL takes or changes the lease, unless another holder has it. clock_timestamp does not
// stand still while the statement waits for a concurrent one.
const leaseSQL = `
WITH written AS (
	INSERT INTO @incident_task AS t (task, holder, until)
	SELECT ?::text, ?::text, clock_timestamp() + ?::bigint * interval '1 microsecond'
	WHERE $1 = $1::text
	ON CONFLICT (task) DO UPDATE
	SET holder = EXCLUDED.holder, until = EXCLUDED.until
	WHERE t.holder = EXCLUDED.holder OR t.until <= clock_timestamp()
	RETURNING 1
)
SELECT clock_timestamp(), EXISTS (SELECT FROM written)`

const leaseStateSQL = `
SELECT clock_timestamp(), (extract(epoch FROM until - clock_timestamp()) * 1000000)::bigint
FROM @incident_task
WHERE $1 = $1::text AND task = ?`

// Lease implements [incident.RetentionStore]. Its clock is that of the server.
func (s *Store) Lease(ctx context.Context, task, holder string, d time.Duration) (l incident.TaskLease, err error) {
	if s.tx != nil {
		return l, s.translate(ctx, "lease", errRetentionInTx)
	}
	err = s.write(ctx, "lease", func(s *Store, c *call) (err error) {
		st := s.statement(counted{task, c}).add(leaseSQL, task, holder, d.Microseconds())
		isHolder := false
		l, err = queryCounted(ctx, s, c, st, func(rows rowSet) (l incident.TaskLease, err error) {
			err = scanOne(rows, instant(&l.Now), boolean(&isHolder))
			return l, err
		})
		if err != nil || isHolder {
			return err
		}
		left := int64(0)
		st = s.statement(task).add(leaseStateSQL, task)
		l, err = queryOnce(ctx, s, st, func(rows rowSet) (l incident.TaskLease, err error) {
			err = scanOne(rows, instant(&l.Now), integer(&left))
			return l, err
		})
		if l.Wait = time.Duration(left) * time.Microsecond; err == nil && left <= 0 {
			return errAgain // it has ended in the meantime
		}
		return err
	})
	return l, err
}
