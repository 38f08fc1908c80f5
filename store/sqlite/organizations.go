package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

const nextWithIncidentsSQL = `SELECT organization_id FROM incident WHERE organization_id > ? ORDER BY organization_id LIMIT 1`

// Organizations implements [incident.RetentionStore]. It looks for each organization in an index
// of the incidents, since the counters of identifiers outlive the incidents.
func (s *Store) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return read(ctx, s, "organizations", longSnapshot, func(ctx context.Context, q session) ([]incident.OrganizationID, error) {
		all := []incident.OrganizationID{}
		for org := after; len(all) < limit; {
			found, err := queryOne(ctx, q, nextWithIncidentsSQL, []any{string(org)}, text(&org))
			if err != nil || !found {
				return all, err
			}
			all = append(all, org)
		}
		return all, nil
	})
}
