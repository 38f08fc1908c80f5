package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

// A claim on Citus first asks all servers for the organizations with something due. It takes those
// that a claim of one server would take, and claims on their shards alone: most shards have
// nothing due.

// probedSQL ends the part of a claim that finds what is due, without locks.
const probedSQL = `
)
SELECT {others}, d.organization_id, d.number
FROM (SELECT 1) one
LEFT JOIN (
	SELECT organization_id, count(*) AS number
	FROM due
	GROUP BY organization_id
) d ON true`

// dueOrganization is an organization with something due.
type dueOrganization struct {
	organization incident.OrganizationID
	owner        string // another organization of its shard
	number       int    // of the rows that are due, and that the query allows
}

// claimOnNodes is claim on Citus.
func (s *Store) claimOnNodes(ctx context.Context, t *outboxTable, q incident.ClaimQuery) (a claimAnswer, err error) {
	due, others, err := s.probe(ctx, t, q)
	if err != nil {
		return a, err
	}
	a.others = others
	left := q
	for claimed := 0; len(due) > 0 && claimed < q.Limit; {
		take, numbers := 0, map[string]int{}
		for sum := 0; take < len(due) && sum < q.Limit-claimed; take++ {
			n := min(due[take].number, q.Limit-claimed-sum)
			numbers[due[take].owner] += n
			sum += n
		}
		for owner, n := range numbers {
			left.Limit = n
			found, failed := s.claim(ctx, t, left, owner)
			err = cmp.Or(err, failed)
			a.claims, a.unseen = append(a.claims, found.claims...), append(a.unseen, found.unseen...)
			a.isBatchFull = a.isBatchFull || found.isBatchFull
		}
		claimed = len(a.claims) + len(a.unseen)
		left.After, due = due[take-1].organization, due[take:]
	}
	if len(a.claims)+len(a.unseen) > 0 {
		err = nil // an error must not lose the claims
	}
	return a, err
}

// probe returns the organizations with something due, in ascending order.
func (s *Store) probe(ctx context.Context, t *outboxTable, q incident.ClaimQuery) (due []dueOrganization, others bool, err error) {
	st := s.claimStatement(t, q)
	if err := addDue(st, t.probe, q); err != nil {
		return nil, false, err
	}
	st.add(t.probed)
	begin := func() { due, others = nil, false }
	err = s.onNodes(ctx, "claim", st, begin, func(n citusNode, rows *shardRows) error {
		d, other := dueOrganization{}, false
		return scanEach(rows, func() {
			others = others || other
			if d.organization != "" {
				d.owner = n.organization[rows.shard()]
				due = append(due, d)
			}
			d = dueOrganization{}
		}, boolean(&other), text(&d.organization), integer(&d.number))
	})
	slices.SortFunc(due, func(a, b dueOrganization) int { return cmp.Compare(a.organization, b.organization) })
	return due, others, err
}

// backlogOnNodes is Backlog on Citus.
func (s *Store) backlogOnNodes(ctx context.Context, st *statement) (all map[string]incident.Backlog, err error) {
	begin := func() { all = map[string]incident.Backlog{} }
	err = s.onNodes(ctx, "backlog", st, begin, func(_ citusNode, rows *shardRows) error { return addBacklog(all, rows) })
	return all, err
}

// discardOnNodes is Discard on Citus, shard by shard.
func (s *Store) discardOnNodes(ctx context.Context, notifier string, limit int) (n int, err error) {
	if err := s.checkSchema(ctx); err != nil {
		return 0, s.translate(ctx, "discard", err)
	}
	nodes, err := s.nodes(ctx)
	if err != nil {
		return 0, s.translate(ctx, "discard", err)
	}
	for _, node := range nodes {
		for _, shard := range node.shards {
			if n >= limit {
				return n, nil
			}
			found, err := s.discard(ctx, notifier, limit-n, s.statement, node.organization[shard])
			if n += found; err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// byOrganization calls f with the settlements of each organization, and collects the results.
func byOrganization(all []incident.Settlement, indexes []int, f func([]int) ([]int, error)) (found []int, err error) {
	var orgs []incident.OrganizationID
	byOrg := map[incident.OrganizationID][]int{}
	for _, i := range indexes {
		org := all[i].Key.OrganizationID
		if byOrg[org] == nil {
			orgs = append(orgs, org)
		}
		byOrg[org] = append(byOrg[org], i)
	}
	for _, org := range orgs {
		part, failed := f(byOrg[org])
		found, err = append(found, part...), errors.Join(err, failed)
	}
	return found, err
}
