package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/incidentkit/incident"
)

// On Citus a change has the transaction number of the server that has its organization. So a
// position of the feed has a part for each server: "group/history/snapshot", separated by ";".
//
//   - The snapshot is that of the first shard of the call. Those of the others are taken later, so
//     that they contain it. The changes since a part are those of all shards of the server.
//   - The history also names the shards and their tables, because a shard that has moved brings numbers
//     of the other server. Then the feed resets, also if the shard is back: its table is another.
//   - What is forgotten is recorded in each shard: see incident_forgotten.
//   - The numbers that a moved shard brings may be those of later transactions than the server has had. Each
//     statement ignores them: they are not below the end of its snapshot.

var (
	ofShard = strings.NewReplacer(
		"resets,", "(SELECT coalesce(sum(resets), 0) FROM @incident_forgotten), '@incident'::regclass::oid,",
		"forgotten::text", "(SELECT max(forgotten::text::numeric) FROM @incident_forgotten WHERE forgotten < "+snapshotEnd+")::text",
		"FROM @incident_schema\n", "",
	)
	shardChangesSQL      = ofShard.Replace(changesSQL)
	shardPositionOnlySQL = ofShard.Replace(positionOnlySQL)
	shardLaterSQL        = strings.ReplaceAll(laterSQL, noTransaction, "(SELECT "+snapshotEnd+")")
)

// snapshotEnd is above the number of every transaction that a statement sees.
const snapshotEnd = "pg_snapshot_xmax(pg_current_snapshot())"

// nodePosition is the part of a position for a server.
type nodePosition struct {
	group int64
	position
}

func (p nodePosition) text(snapshot string) string {
	return fmt.Sprintf("%d/%s/%s", p.group, p.history, snapshot)
}

// parseNodePositions returns false for a text that is not a position of Citus.
func parseNodePositions(text incident.FeedPosition) (all []nodePosition, ok bool) {
	for part := range strings.SplitSeq(string(text), ";") {
		fields := strings.Split(part, "/")
		if len(fields) != 3 {
			return nil, false
		}
		group, err := strconv.ParseInt(fields[0], 10, 64)
		p := nodePosition{group: group, position: position{history: fields[1]}}
		if err != nil || !p.parseSnapshot(fields[2]) {
			return nil, false
		}
		all = append(all, p)
	}
	return all, true
}

// suits reports whether the position has a part for each server and no other.
func suits(all []nodePosition, nodes []citusNode) bool {
	return slices.EqualFunc(all, nodes, func(p nodePosition, n citusNode) bool { return p.group == n.group })
}

// citusChanges is changes on Citus.
func (s *Store) citusChanges(ctx context.Context, since incident.FeedPosition) (c incident.FeedChanges, err error) {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return c, err
	}
	from, known := parseNodePositions(since)
	known = known && suits(from, nodes)
	c.Reset = since != "" && !known
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		st := s.statementOfAll("")
		if known {
			addChanges(st, shardChangesSQL, shardLaterSQL, from[i].position)
		} else {
			st.add(shardPositionOnlySQL)
		}
		found, err := runOnNode(ctx, s, n, st, func(rows *shardRows) (nodeChanges, error) { return readNodeChanges(rows, n, known) })
		if err != nil {
			return incident.FeedChanges{}, err
		}
		parts[i] = found.to.text(found.snapshot)
		c.Incidents, c.Slots = append(c.Incidents, found.Incidents...), append(c.Slots, found.Slots...)
		c.Reset = c.Reset || known && !found.continues(from[i])
	}
	c.Position = incident.FeedPosition(strings.Join(parts, ";"))
	if c.Reset = c.Reset || len(c.Incidents)+len(c.Slots) > maxChanges; c.Reset {
		c.Incidents, c.Slots = nil, nil
	}
	return c, nil
}

// nodeChanges are the changes of a server.
type nodeChanges struct {
	incident.FeedChanges
	to        nodePosition
	snapshot  string
	forgotten []string // by each shard
}

// continues reports whether the changes are all since a position.
func (c nodeChanges) continues(from nodePosition) bool {
	return c.to.follows(from.position) && !slices.ContainsFunc(c.forgotten, func(number string) bool { return !from.contains(number) })
}

// readNodeChanges reads the answers of all shards of a server. Each has a position.
func readNodeChanges(rows rowSet, n citusNode, known bool) (c nodeChanges, err error) {
	histories := sha256.New()
	ok := true
	c.to.group = n.group
	c.FeedChanges, err = readChanges(rows, !known, func(text incident.FeedPosition, forgotten string) {
		cut := strings.LastIndexByte(string(text), '/') + 1
		histories.Write([]byte(text[:cut]))
		if c.snapshot == "" {
			c.snapshot = string(text[cut:])
			ok = c.to.parseSnapshot(c.snapshot)
		}
		c.forgotten = append(c.forgotten, forgotten)
	})
	histories.Write([]byte(n.shardsText()))
	c.to.history = hex.EncodeToString(histories.Sum(nil)[:12])
	if !ok {
		err = cmp.Or(err, fmt.Errorf("%w: the server has an unknown form of snapshots", incident.ErrUnavailable))
	}
	return c, err
}
