package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
	worker       *citusWorker     // nil without a connection to the server itself
}

// citusNodes keeps the list of servers.
type citusNodes struct {
	mu     sync.Mutex // guards nodes
	nodes  []citusNode
	routes atomic.Pointer[citusRoutes] // to the same nodes; nil without a list
}

// nodesSQL finds, for each shard, one of some made-up organizations, if its range is not too small.
const nodesSQL = `
SELECT p.groupid, n.nodename, n.nodeport, s.shardid, s.shardminvalue::bigint, s.shardmaxvalue::bigint, coalesce(min(k.organization), '')
FROM pg_dist_shard s
JOIN pg_dist_placement p ON p.shardid = s.shardid
JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
LEFT JOIN (
	SELECT 'organization ' || n AS organization,
		get_shard_id_for_distribution_column('@incident', 'organization ' || n) AS shardid
	FROM generate_series(1, 64 * (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = '@incident'::regclass)) n
) k ON k.shardid = s.shardid
WHERE s.logicalrelid = '@incident'::regclass
GROUP BY p.groupid, n.nodename, n.nodeport, s.shardid, s.shardminvalue, s.shardmaxvalue
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
	identity := ""
	if s.options.CitusWorker != nil {
		var err error
		if identity, err = s.registeredText(ctx, identityForm); err != nil {
			return nil, err
		}
	}
	found, err := runText(ctx, s, &c.nodes, nil, readNodes)
	if err == nil {
		err = makeUp(found)
	}
	if err == nil {
		nodes = c.workers.of(found, identity)
		c.known.set(nodes, newCitusRoutes(found, nodes))
	}
	return nodes, err
}

func (n *citusNodes) set(nodes []citusNode, routes *citusRoutes) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes = nodes
	n.routes.Store(routes)
}

// servers returns the number of servers of the list, or 1 without a list.
func (n *citusNodes) servers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(1, len(n.nodes))
}

// forget has the next call read the list again.
func (n *citusNodes) forget() { n.set(nil, nil) }

// foundShard is a row of nodesSQL.
type foundShard struct {
	group, port, shard int64
	name               string
	least, greatest    int64 // the range of hashes
	organization       string
}

func readNodes(rows rowSet) (all []foundShard, err error) {
	var f foundShard
	err = scanEach(rows, func() { all = append(all, f) },
		integer(&f.group), text(&f.name), integer(&f.port), integer(&f.shard), integer(&f.least), integer(&f.greatest), text(&f.organization))
	if err == nil && all == nil {
		err = fmt.Errorf("%w: the tables are on no server of Citus; run postgres.MigrateCitus", incident.ErrUnavailable)
	}
	return all, err
}

// has reports whether an organization is in the range.
func (f *foundShard) has(organization string) bool {
	hash := int64(shardHash(organization))
	return f.least <= hash && hash <= f.greatest
}

// makeUp makes up organizations for the shards that the server found none for.
func makeUp(found []foundShard) error {
	for i := range found {
		f := &found[i]
		if f.organization != "" {
			continue
		}
		if slices.ContainsFunc(found, func(f foundShard) bool { return f.organization != "" && !f.has(f.organization) }) {
			return fmt.Errorf("%w: the range of a shard is too small, and the server has other hashes of texts than the library", incident.ErrUnavailable)
		}
		f.organization = organizationOf(int32(f.least))
	}
	return nil
}

// errMoved means that a shard has moved during a statement.
var errMoved = fmt.Errorf("%w: a shard has moved", errAgain)

// runOnNode runs a statement on the shards of a server. read gets the rows of all of them.
func runOnNode[T any](ctx context.Context, s *Store, n citusNode, st *statement, read func(*shardRows) (T, error)) (T, error) {
	var shards []int64
	args, err := literals(st.args)
	if err != nil {
		var none T
		return none, err
	}
	c := &citusCall{
		function: &s.citus.runAll, worker: n.worker, organization: n.organization[n.shards[0]], form: st.sqlText().delegated,
		args: []any{args}, attempt: &attempt{},
	}
	v, err := runForm(ctx, s, c, func(rows rowSet) (T, error) {
		r := &shardRows{recordRows: recordRows{rowSet: rows}}
		v, err := read(r)
		for err == nil && r.Next() {
		}
		shards = r.shards
		return v, err
	})
	if err == nil && !slices.Equal(shards, n.shards) {
		err = errMoved
		if n.worker != nil {
			n.worker.avoid()
		}
	}
	if isDisturbed(err) {
		s.citus.known.forget()
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
