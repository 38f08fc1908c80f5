//go:build citus

package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident/store/postgres"
)

// Shards are divided, an organization gets a shard of its own, and the coordinator gets shards and loses
// them again, while organizations are written, followed and notified.
func TestCitus_divisions(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) { underDivisions(t, nil) })
	t.Run("workers", func(t *testing.T) { underDivisions(t, openCitusWorkers(t, 16)) })
}

func underDivisions(t *testing.T, workers func(string) *sqlx.DB) {
	withoutLoss(t, "moves_divisions", workers, func(pool *sqlx.DB, schema string) {
		table := schema + ".incident"
		splitShards(t, pool, table, "block_writes")
		splitShards(t, pool, table, "force_logical")
		splitShards(t, pool, table, "block_writes")
		changeShards(t, pool, "SELECT isolate_tenant_to_new_shard($1, 'organization 0', 'CASCADE', shard_transfer_mode := 'block_writes')", table)
		s := mustNew(t, pool, &postgres.Options{Schema: schema, Citus: true})
		mustUse(t, s, "acme", "organization 0")
		if _, err := s.Changes(t.Context(), ""); err != nil {
			t.Error(err)
		}
		if _, err := s.Discard(t.Context(), "nobody", 1000); err != nil {
			t.Error(err)
		}
		before := mustCount(t, pool, "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = '"+table+"'::regclass")
		if before < 2*citusShards {
			t.Errorf("%d shards are too few to show something", before)
		}
		toCoordinator(t, pool, table)
	})
}

// splitShards divides the first two shards of a table, each in the middle of its range. With block_writes the parts
// stay on their server, otherwise they go to another: Citus 13.2 does not finish a division with force_logical of
// which a part stays, if rows are updated meanwhile. It creates the part's primary key after it has begun to record
// the updates, so that they come without their keys.
func splitShards(t *testing.T, pool *sqlx.DB, table, mode string) {
	t.Helper()
	var all []struct {
		Shard  int64 `db:"shardid"`
		Middle int64 `db:"middle"`
		Node   int64 `db:"node"`
	}
	err := pool.Select(&all, `
		SELECT s.shardid, (s.shardminvalue::bigint + s.shardmaxvalue::bigint) / 2 AS middle, n.nodeid AS node
		FROM pg_dist_shard s
		JOIN pg_dist_placement p USING (shardid)
		JOIN pg_dist_node n ON n.shouldhaveshards AND (n.groupid = p.groupid) = ($2 = 'block_writes')
		WHERE s.logicalrelid = $1::regclass
		ORDER BY s.shardmaxvalue::bigint - s.shardminvalue::bigint DESC, s.shardid
		LIMIT 2`, table, mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		changeShards(t, pool, "SELECT citus_split_shard_by_split_points($1, ARRAY[$2], ARRAY[$3, $3]::integer[], $4::citus.shard_transfer_mode)",
			s.Shard, fmt.Sprint(s.Middle), s.Node, mode)
	}
}

// toCoordinator moves a shard to the coordinator, and back.
func toCoordinator(t *testing.T, pool *sqlx.DB, table string) {
	t.Helper()
	var at struct {
		Shard int64  `db:"shardid"`
		From  string `db:"from_name"`
		FPort int    `db:"from_port"`
		To    string `db:"to_name"`
		TPort int    `db:"to_port"`
	}
	err := pool.Get(&at, `
		SELECT s.shardid, n.nodename AS from_name, n.nodeport AS from_port, c.nodename AS to_name, c.nodeport AS to_port
		FROM pg_dist_shard s JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node n USING (groupid), pg_dist_node c
		WHERE s.logicalrelid = $1::regclass AND c.groupid = 0 AND n.groupid <> 0
		ORDER BY s.shardid
		LIMIT 1`, table)
	if err != nil {
		t.Fatal(err)
	}
	const property, move = "SELECT citus_set_node_property($1, $2, 'shouldhaveshards', $3)", "SELECT citus_move_shard_placement($1, $2, $3, $4, $5, 'force_logical')"
	changeShards(t, pool, property, at.To, at.TPort, true)
	defer changeShards(t, pool, property, at.To, at.TPort, false)
	changeShards(t, pool, move, at.Shard, at.From, at.FPort, at.To, at.TPort)
	time.Sleep(time.Second) // the writers go on
	changeShards(t, pool, move, at.Shard, at.To, at.TPort, at.From, at.FPort)
}
