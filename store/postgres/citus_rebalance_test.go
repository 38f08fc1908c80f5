//go:build citus

package postgres_test

import (
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// citusSpare returns a server that is no worker, and its URL.
func citusSpare(t *testing.T) (server *url.URL, port int) {
	t.Helper()
	server, err := url.Parse(os.Getenv("INCIDENT_TEST_CITUS_SPARE_URL"))
	if err == nil {
		port, err = strconv.Atoi(server.Port())
	}
	if err != nil {
		t.Fatal("INCIDENT_TEST_CITUS_SPARE_URL must have the URL of a server with the extension citus that is no worker: ", err)
	}
	return server, port
}

// A server becomes a worker, gets shards by a rebalance and by a move, is drained, and leaves, twice, in both
// modes of Citus, while organizations are written, followed and notified.
func TestCitus_rebalance(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) { underRebalance(t, nil) })
	t.Run("workers", func(t *testing.T) {
		server, _ := citusSpare(t)
		workers, spare := openCitusWorkers(t, 16), mustOpen(t, server.String(), 16)
		underRebalance(t, func(address string) *sqlx.DB {
			if address == server.Host {
				return spare
			}
			return workers(address)
		})
	})
}

func underRebalance(t *testing.T, workers func(string) *sqlx.DB) {
	withoutLoss(t, "moves_rebalance", workers, func(pool *sqlx.DB, schema string) {
		addSpare(t, pool, schema, "force_logical")
		changeShards(t, pool, `
			SELECT citus_move_shard_placement(shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, 'block_writes')
			FROM citus_shards s JOIN pg_dist_node n ON n.groupid = (SELECT max(groupid) FROM pg_dist_node)
			WHERE s.table_name = $1::regclass AND s.nodeport <> n.nodeport
			ORDER BY shardid
			LIMIT 1`, schema+".incident")
		idle := mustNew(t, mustOpen(t, citusURL(t), 4), &postgres.Options{Schema: schema, Citus: true, CitusWorker: workers})
		check := mustSleep(t, idle, pool, schema)
		removeSpare(t, pool, schema, "block_writes")
		check()

		addSpare(t, pool, schema, "block_writes")
		check = mustSleep(t, idle, pool, schema)
		removeSpare(t, pool, schema, "force_logical")
		check()
	})
}

// addSpare makes the spare server a worker, and has Citus move shards to it.
func addSpare(t *testing.T, pool *sqlx.DB, schema, mode string) {
	t.Helper()
	server, port := citusSpare(t)
	changeShards(t, pool, "SELECT citus_add_node($1, $2)", server.Hostname(), port)
	t.Cleanup(func() { // of a test that failed
		_, _ = pool.Exec("SELECT citus_drain_node(nodename, nodeport, 'block_writes'), citus_remove_node(nodename, nodeport) FROM pg_dist_node WHERE nodeport = $1", port)
	})
	changeShards(t, pool, "SELECT citus_rebalance_start(shard_transfer_mode := $1)", mode)
	changeShards(t, pool, "SELECT citus_rebalance_wait()")
	if n := shardsAt(t, pool, schema, port); n == 0 {
		t.Fatalf("a rebalance in mode %s gave the new worker no shards", mode)
	}
}

// removeSpare has Citus move all shards of the spare server to others, and removes it from the workers.
func removeSpare(t *testing.T, pool *sqlx.DB, schema, mode string) {
	t.Helper()
	server, port := citusSpare(t)
	if n := shardsAt(t, pool, schema, port); n == 0 {
		t.Error("the worker has no shards before it is drained")
	}
	changeShards(t, pool, "SELECT citus_drain_node($1, $2, $3)", server.Hostname(), port, mode)
	if n := shardsAt(t, pool, schema, port); n != 0 {
		t.Fatalf("the worker has %d shards after it was drained in mode %s", n, mode)
	}
	for deadline := time.Now().Add(time.Minute); mustCount(t, pool, "SELECT count(*) FROM pg_dist_cleanup") > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Citus does not remove what moves left")
		}
		changeShards(t, pool, "CALL citus_cleanup_orphaned_resources()")
	}
	changeShards(t, pool, "SELECT citus_remove_node($1, $2)", server.Hostname(), port)
}

func shardsAt(t *testing.T, pool *sqlx.DB, schema string, port int) int {
	t.Helper()
	return mustCount(t, pool, fmt.Sprintf("SELECT count(*) FROM citus_shards WHERE table_name = '%s.incident'::regclass AND nodeport = %d", schema, port))
}

// mustSleep uses a store, and returns a check of it to be called after the store has been idle: the store reads
// what another has written in the meantime, and its feed continues.
func mustSleep(t *testing.T, s *postgres.Store, pool *sqlx.DB, schema string) func() {
	t.Helper()
	orgs := routedOrganizations()
	keys, reads := incidentsOf(t, s, orgs)
	before, err := s.Changes(t.Context(), "")
	mustDo(t, err)
	return func() {
		t.Helper()
		other := mustManager(t, mustNew(t, mustOpen(t, citusURL(t), 4), &postgres.Options{Schema: schema, Citus: true}))
		for _, key := range keys {
			mustDo(t, only(other.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical})))
		}
		results := make([]loaded, len(reads))
		var together sync.WaitGroup
		for i, read := range reads {
			together.Go(func() { results[i] = read(t.Context()) })
		}
		together.Wait()
		for i, l := range results {
			if l.err != nil || l.state.Incident.Version < 2 {
				t.Errorf("%s: version %d, %v, want that after the move", orgs[i], l.state.Incident.Version, l.err)
			}
		}
		_, err := s.Changes(t.Context(), before.Position)
		mustDo(t, err)
		mustUse(t, s, orgs...)
	}
}
