package postgres

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// shardForgetSQL is forgetSQL for a shard. The number below which all transactions have ended is
// that of the server. A number that the shard has brought from a server with later transactions gives way.
const shardForgetSQL = `
WITH old AS MATERIALIZED (` + belowSQL + `pg_snapshot_xmin(pg_current_snapshot())::text::xid8` + oldestSQL + `
), ` + removeOldSQL + `
INSERT INTO @incident_forgotten AS f (organization_id, forgotten)
SELECT min(organization_id), max(changed::text::numeric)::text::xid8
FROM old
WHERE $1 = $1::text
HAVING count(*) > 0
ON CONFLICT (organization_id) DO UPDATE
SET forgotten = CASE WHEN f.forgotten < ` + snapshotEnd + ` THEN greatest(f.forgotten, EXCLUDED.forgotten) ELSE EXCLUDED.forgotten END
RETURNING 1`

// shardResetSQL is resetSQL for the shard of an organization.
const shardResetSQL = `
INSERT INTO @incident_forgotten AS f (organization_id, resets)
SELECT $1::text, 1
ON CONFLICT (organization_id) DO UPDATE
SET resets = f.resets + 1`

// resetStatement has the feed reset.
func (s *Store) resetStatement(org incident.OrganizationID) *statement {
	if s.citus != nil {
		return s.statement(string(org)).add(shardResetSQL)
	}
	return s.statementOfAll("").add(resetSQL)
}

// forgetOnNodes is forget on Citus.
func (s *Store) forgetOnNodes(ctx context.Context, op string) error {
	st := s.statementOfAll("").add(shardForgetSQL, s.feedMemory.Microseconds())
	return s.onNodes(ctx, op, st, func() {}, func(citusNode, *shardRows) error { return nil })
}

// organizationsOnNodes is Organizations on Citus. Each shard returns as many as the limit.
func (s *Store) organizationsOnNodes(ctx context.Context, after incident.OrganizationID, limit int) (all []incident.OrganizationID, err error) {
	st := s.statementOfAll(string(after)).add(organizationsSQL, limit)
	err = s.onNodes(ctx, "organizations", st, func() { all = []incident.OrganizationID{} }, func(_ citusNode, rows *shardRows) error {
		var org incident.OrganizationID
		return scanEach(rows, func() { all = append(all, org) }, text(&org))
	})
	slices.Sort(all)
	return all[:min(len(all), limit)], err
}
