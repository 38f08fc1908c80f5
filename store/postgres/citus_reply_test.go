//go:build citus && unix

package postgres_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// newCitusLossy makes tables, and a store behind a proxy: before the coordinator, or before the
// worker that has the organization of the writes.
func newCitusLossy(t *testing.T, atWorker bool) *lossy {
	t.Helper()
	l, _ := newCitusLossyStore(t, atWorker, 2)
	return l
}

// newCitusLossyStore is newCitusLossy, and also returns the store behind the proxy, which has conns connections
// through it.
func newCitusLossyStore(t *testing.T, atWorker bool, conns int) (l *lossy, through *postgres.Store) {
	t.Helper()
	opts, url := newCitusTables(t, nil)
	l = &lossy{pool: mustOpen(t, url, 4)}
	l.store = mustNew(t, l.pool, &opts)
	l.past = mustManager(t, l.store)
	if !atWorker {
		l.proxy = pgtest.NewProxy(t, citusURL(t))
		l.proxied = mustOpen(t, l.proxy.URL(), conns)
		through = mustNew(t, l.proxied, &opts)
		l.through = mustManager(t, through)
		return l, through
	}
	owner := ""
	err := l.pool.Get(&owner, `SELECT nodename || ':' || nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
		WHERE shardid = get_shard_id_for_distribution_column('incident', 'acme'::text)`)
	if err != nil {
		t.Fatal(err)
	}
	l.proxy = pgtest.NewProxy(t, citusWorkerURLs(t)[owner])
	l.proxied = mustOpen(t, l.proxy.URL(), conns)
	opts.CitusWorker = func(address string) *sqlx.DB {
		if address == owner {
			return l.proxied
		}
		return nil
	}
	through = mustNew(t, mustOpen(t, citusURL(t), 4), &opts)
	l.through = mustManager(t, through)
	l.ready = func(t *testing.T) {
		t.Helper()
		awaitRoutes(t, through, "acme")
	}
	return l, through
}

// TestStore_lostReply on Citus, between the store and the coordinator, and between the store and a
// worker.
func TestCitus_lostReply(t *testing.T) {
	for name, atWorker := range map[string]bool{"coordinator": false, "worker": true} {
		t.Run(name, func(t *testing.T) {
			lossies := lossiesOf(t, func(parent *testing.T) *lossy { return newCitusLossy(parent, atWorker) })
			for i, w := range writes() {
				t.Run(w.name, func(t *testing.T) {
					t.Parallel()
					if met := checkLostReply(t, lossies(t), w, cuts(i)); met == 0 && (!atWorker || w.name != "InTx") {
						t.Error("no round trip was lost") // a transaction goes through the coordinator
					}
				})
			}
		})
	}
}

// TestProcesses_faults on Citus.
func TestCitus_processes(t *testing.T) {
	for name, workers := range map[string]map[string]string{"coordinator": nil, "workers": citusWorkerURLs(t)} {
		t.Run(name, func(t *testing.T) {
			url := citusURL(t)
			admin := mustOpen(t, fmt.Sprintf("%s&options=-ccitus.shard_count%%3D%d", url, citusShards), 1)
			opts := mustCitusSchema(t, admin, fmt.Sprintf("incident_%d_%d_three", os.Getpid(), citusTurns.Add(1)))
			m := &machine{proxy: pgtest.NewProxy(t, url), admin: admin}
			m.run(t, mustNew(t, mustOpen(t, url, 4), &opts), task{URL: url, Citus: &citusTask{opts.Schema, workers}}, standStill, fallSilent, killBackends)
		})
	}
}
