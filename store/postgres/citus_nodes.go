package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/incidentkit/incident"
)

// A statement that is not about a single organization runs on each server, there on each shard:
//
//  1. The coordinator lists the servers with their shards. The store keeps the list.
//  2. A call of incident_run_all goes to each server. It is about an organization that the server
//     would have, because Citus passes calls on by organization.
//  3. Each answer names the shards that it comes from. If these are not the shards of the list, a
//     shard has moved or was divided, perhaps between two of the calls: then a part of the data was
//     read twice or not at all. The statement runs again with a new list.

// citusNode is a server with shards.
type citusNode struct {
	group        int64            // the server's number in Citus
	shards       []int64          // of table incident, in ascending order
	organization map[int64]string // that the shard would have
}

// citusNodes keeps the list of servers.
type citusNodes struct {
	mu    sync.Mutex // guards nodes
	nodes []citusNode
}

// nodesSQL finds, for each shard, one of some made-up organizations.
const nodesSQL = `
SELECT p.groupid, s.shardid, coalesce(min(k.organization), '')
FROM pg_dist_shard s
JOIN pg_dist_placement p ON p.shardid = s.shardid
LEFT JOIN (
	SELECT 'organization ' || n AS organization,
		get_shard_id_for_distribution_column('@incident', 'organization ' || n) AS shardid
	FROM generate_series(1, 64 * (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = '@incident'::regclass)) n
) k ON k.shardid = s.shardid
WHERE s.logicalrelid = '@incident'::regclass
GROUP BY p.groupid, s.shardid
ORDER BY p.groupid, s.shardid`

// nodes returns the servers in ascending order.
func (s *Store) nodes(ctx context.Context) ([]citusNode, error) {
	c := s.citus
	c.known.mu.Lock()
	nodes := c.known.nodes
	c.known.mu.Unlock()
	if nodes != nil {
		return nodes, nil
	}
	nodes, err := runText(ctx, s, &c.nodes, nil, readNodes)
	if err == nil {
		c.known.set(nodes)
	}
	return nodes, err
}

func (n *citusNodes) set(nodes []citusNode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes = nodes
}

func readNodes(rows rowSet) (nodes []citusNode, err error) {
	var group, shard int64
	organization, missing := "", 0
	err = scanEach(rows, func() {
		if nodes == nil || nodes[len(nodes)-1].group != group {
			nodes = append(nodes, citusNode{group: group, organization: map[int64]string{}})
		}
		n := &nodes[len(nodes)-1]
		n.shards = append(n.shards, shard)
		n.organization[shard] = organization
		if organization == "" {
			missing++
		}
	}, integer(&group), integer(&shard), text(&organization))
	if err == nil && (missing > 0 || nodes == nil) {
		err = fmt.Errorf("%w: of %d shards no organization was found; run postgres.MigrateCitus", incident.ErrUnavailable, missing)
	}
	return nodes, err
}

// errMoved means that a shard has moved during a statement.
var errMoved = fmt.Errorf("%w: a shard has moved", errAgain)

// runOnNode runs a statement on the shards of a server. read gets the rows of all of them.
func runOnNode[T any](ctx context.Context, s *Store, n citusNode, st *statement, read func(*shardRows) (T, error)) (T, error) {
	var shards []int64
	v, err := runForm(ctx, s, &s.citus.runAll, n.organization[n.shards[0]], st, func(rows rowSet) (T, error) {
		r := &shardRows{recordRows: recordRows{rowSet: rows}}
		v, err := read(r)
		for err == nil && r.Next() {
		}
		shards = r.shards
		return v, err
	})
	if err == nil && !slices.Equal(shards, n.shards) {
		err = errMoved
	}
	if isDisturbed(err) {
		s.citus.known.set(nil)
	}
	return v, err
}

// shardRows reads the rows of incident_run_all.
type shardRows struct {
	recordRows
	shards []int64 // that have been read, or are being read
}

// shard returns the shard of the current row.
func (r *shardRows) shard() int64 { return r.shards[len(r.shards)-1] }

// Next implements [rowSet].
func (r *shardRows) Next() bool {
	for r.err == nil && r.rowSet.Next() {
		shard, answer := int64(0), ""
		if r.err = r.rowSet.Scan(integer(&shard), text(&answer)); r.err != nil {
			break
		}
		if answer == "" {
			r.shards = append(r.shards, shard)
			continue
		}
		r.fields, r.err = appendFields(r.fields[:0], answer)
		return r.err == nil
	}
	return false
}

// onNodes runs a statement on each server, and passes the rows of each to read. The statement runs
// again while a shard moves; before each run, begin is called.
func (s *Store) onNodes(ctx context.Context, op string, st *statement, begin func(), read func(citusNode, *shardRows) error) error {
	_, err := repeating(ctx, s, func() (none struct{}, err error) {
		begin()
		if err := s.checkSchema(ctx); err != nil {
			return none, err
		}
		nodes, err := s.nodes(ctx)
		for _, n := range nodes {
			if err == nil {
				_, err = runOnNode(ctx, s, n, st, func(rows *shardRows) (none struct{}, err error) { return none, read(n, rows) })
			}
		}
		return none, err
	})
	return s.translate(ctx, op, err)
}

// shardsText names the shards in a position of the feed.
func (n *citusNode) shardsText() string {
	var b strings.Builder
	for _, shard := range n.shards {
		b.WriteByte(' ')
		b.WriteString(strconv.FormatInt(shard, 10))
	}
	return b.String()
}
