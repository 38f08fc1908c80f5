package postgres

import (
	"context"
	"math"

	"github.com/incidentkit/incident"
)

const firstIncidentsSQL = `
SELECT identifier, activities
FROM @incident
WHERE organization_id = $1 AND identifier > ?
ORDER BY identifier
LIMIT ?`

// firstIncidents returns the incidents after an identifier, at most limit, and fewer if the sum
// of their activities exceeds a bound. more reports whether another incident follows.
func (s *Store) firstIncidents(
	ctx context.Context, op string, org incident.OrganizationID, after int64, limit int, maxActivities int64,
) (first []int64, more bool, err error) {
	st := s.statement(string(org)).add(firstIncidentsSQL, after, int64(min(limit, math.MaxInt32))+1)
	_, err = query(ctx, s, op, st, func(rows rowSet) (none struct{}, err error) {
		var identifier, activities, sum int64
		first, more = nil, false
		err = scanEach(rows, func() {
			sum += activities
			if more = more || len(first) == limit || len(first) > 0 && sum > maxActivities; !more {
				first = append(first, identifier)
			}
		}, integer(&identifier), integer(&activities))
		return none, err
	})
	return first, more, err
}

// DeleteOrganization implements [incident.RetentionStore]. It deletes no incident that another
// transaction has locked: a call that finds no other deletes none, and is not Done.
func (s *Store) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (b incident.DeleteBatch, err error) {
	const op = "delete organization"
	if s.tx != nil {
		return b, s.translate(ctx, op, errRetentionInTx)
	}
	if err := s.forget(ctx, op); err != nil {
		return b, err
	}
	after := int64(0)
	for {
		first, more, err := s.firstIncidents(ctx, op, org, after, limit, maxDeletedActivities)
		switch {
		case err != nil:
			return b, err
		case len(first) == 0 && after == 0:
			b.Done, err = s.sweep(ctx, org)
			return b, err
		case len(first) == 0:
			return b, nil
		}
		b.Deleted, err = inBatch(ctx, s, op, func(tx *Store) ([]incident.IncidentVersion, error) {
			locked, err := tx.lockIncidents(ctx, org, first, nil)
			if err != nil {
				return nil, err
			}
			return tx.deleteLocked(ctx, org, locked)
		})
		if err != nil || len(b.Deleted) > 0 || !more {
			return b, err
		}
		after = first[len(first)-1]
	}
}

// lockOrganizationSQL keeps others from creating an incident of the organization.
const lockOrganizationSQL = `
SELECT incidents
FROM @incident_organization
WHERE organization_id = $1
FOR UPDATE`

const hasIncidentsSQL = `
SELECT identifier
FROM @incident
WHERE organization_id = $1
ORDER BY identifier
LIMIT 1`

const resetSQL = `
UPDATE @incident_schema
SET resets = resets + 1
WHERE $1 = $1::text`

// sweep deletes everything that is left of an organization without incidents, except its counter.
// It returns false if the organization has an incident again.
func (s *Store) sweep(ctx context.Context, org incident.OrganizationID) (done bool, err error) {
	for {
		left, err := inBatch(ctx, s, "delete organization", func(tx *Store) (left swept, err error) {
			for _, text := range []string{lockOrganizationSQL, hasIncidentsSQL} {
				left.incident, err = queryOnce(ctx, tx, tx.statement(string(org)).add(text), readIdentifier)
				if err != nil {
					return left, err
				}
			}
			if left.incident != 0 {
				return left, nil
			}
			left.rows, err = queryOnce(ctx, tx, tx.statement(string(org)).add(sweepSQL), readIdentifier)
			if err != nil || left.rows == 0 {
				return left, err
			}
			if err := tx.raise(ctx); err != nil {
				return left, err
			}
			return left, tx.exec(ctx, tx.resetStatement(org))
		})
		if err != nil || left.incident != 0 || left.rows == 0 {
			return err == nil && left.incident == 0, err
		}
	}
}

// swept is the outcome of a transaction of sweep.
type swept struct {
	incident int64 // the identifier of an incident, or 0
	rows     int64 // the number of deleted rows
}

// sweepSQL deletes rows of an organization from each table. Rows are found by ctid, which the
// planner never answers with a scan of the table. The rows of an organization are in one
// partition, where a ctid is unique.
var sweepSQL = func() string {
	text, sum := "\nWITH ", ""
	for i, t := range []struct{ table, key string }{
		{"incident_slot", "alert_rule_id, project_id, query_id"},
		{"incident_deleted", "identifier"},
		{"incident_activity", "identifier, sequence"},
		{"incident_trigger", "identifier, trigger_id"},
		{"incident_seen", "identifier, user_id"},
		{"incident_subscription", "identifier, user_id"},
		{"incident_project", "project_id, date_started, identifier"},
		{"incident_label", "digest, date_started, identifier"},
		{"incident_active", "digest, date_started, identifier"},
		{"incident_outbox", "identifier, replayed"},
		{"incident_queue", "identifier, notifier, reminder, replayed"},
	} {
		if i > 0 {
			text, sum = text+", ", sum+" + "
		}
		text += t.table + "_rows AS (\n\tDELETE FROM @" + t.table + "\n\tWHERE organization_id = $1 AND ctid = ANY (ARRAY(" +
			"\n\t\tSELECT ctid\n\t\tFROM @" + t.table + "\n\t\tWHERE organization_id = $1\n\t\tORDER BY " + t.key + "\n\t\tLIMIT 2000" +
			"\n\t))\n\tRETURNING 1\n)"
		sum += "(SELECT count(*) FROM " + t.table + "_rows)"
	}
	return text + "\nSELECT " + sum
}()
