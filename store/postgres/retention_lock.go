package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// lockedIncidents are incidents that the transaction has locked.
type lockedIncidents []incident.Incident

func (d lockedIncidents) has(identifier int64) bool {
	return slices.ContainsFunc(d, func(inc incident.Incident) bool { return inc.Identifier == identifier })
}

func (d lockedIncidents) identifiers() (all []int64) {
	for i := range d {
		all = append(all, d[i].Identifier)
	}
	return all
}

// lockSkippingSQL locks incidents that nobody else has locked and, if a time is given, that were
// closed before it.
const lockSkippingSQL = `
SELECT ` + incidentColumns + `
FROM @incident i
WHERE i.organization_id = $1 AND i.identifier = ANY (?::bigint[])
	AND (?::timestamptz IS NULL OR i.status = 2 AND i.date_closed < ?::timestamptz)
FOR UPDATE SKIP LOCKED`

// lockIncidents returns the incidents that lockSkippingSQL locks.
func (s *Store) lockIncidents(ctx context.Context, org incident.OrganizationID, identifiers []int64, closedBefore *time.Time) (lockedIncidents, error) {
	st := s.statement(string(org))
	before := st.parameter(closedBefore)
	st.add(lockSkippingSQL, pq.Int64Array(identifiers), before, before)
	return queryOnce(ctx, s, st, readLocked)
}

func readLocked(rows rowSet) (locked lockedIncidents, err error) {
	for rows.Next() {
		var inc incident.Incident
		if err := rows.Scan(scanIncident(&inc)...); err != nil {
			return nil, err
		}
		locked = append(locked, inc)
	}
	return locked, nil
}
