//go:build citus

package postgres_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

// These tests need a coordinator of Citus, whose URL is INCIDENT_TEST_CITUS_URL, and a database
// for them alone.

// citusShards is the number of shards of a table, few because each test process makes many tables.
const citusShards = 4

// citusTurns distinguishes the tables of tests.
var citusTurns atomic.Int64

func citusURL(t testing.TB) string {
	t.Helper()
	url := os.Getenv("INCIDENT_TEST_CITUS_URL")
	if url == "" {
		t.Fatal("INCIDENT_TEST_CITUS_URL is not set; it is the URL of a coordinator of Citus")
	}
	return url
}

// mustCitusSchema makes the tables in a schema of their own, and drops them at the end of the test.
func mustCitusSchema(t *testing.T, pool *sqlx.DB, schema string) postgres.Options {
	t.Helper()
	opts := postgres.Options{Schema: schema, Citus: true}
	if err := postgres.MigrateCitus(t.Context(), pool, &opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Error(err)
		}
	})
	return opts
}

// citusWorkerURLs returns the URLs of the workers by their addresses.
func citusWorkerURLs(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for text := range strings.SplitSeq(os.Getenv("INCIDENT_TEST_CITUS_WORKER_URLS"), ",") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			t.Fatal("INCIDENT_TEST_CITUS_WORKER_URLS must have the URLs of the workers of Citus, with commas between them")
		}
		all[u.Host] = text
	}
	return all
}

// openCitusWorkers returns a value of CitusWorker.
func openCitusWorkers(t testing.TB, conns int) func(address string) *sqlx.DB {
	t.Helper()
	pools := map[string]*sqlx.DB{}
	for address, url := range citusWorkerURLs(t) {
		pools[address] = mustOpen(t, url, conns)
	}
	return func(address string) *sqlx.DB { return pools[address] }
}

// runCitus runs a suite with all statements through the coordinator, and with routes to the workers.
func runCitus(t *testing.T, run func(t *testing.T, stores func(t *testing.T) incident.Store)) {
	t.Run("coordinator", func(t *testing.T) { run(t, emptyCitusStores(t, citusURL(t), postgres.Options{})) })
	t.Run("workers", func(t *testing.T) {
		run(t, emptyCitusStores(t, citusURL(t), postgres.Options{CitusWorker: openCitusWorkers(t, 16)}))
	})
}

// emptyCitusStores is emptyStores on Citus. The stores use the coordinator at a URL.
func emptyCitusStores(t *testing.T, url string, options postgres.Options) func(t *testing.T) incident.Store {
	parent, turn := t, citusTurns.Add(1)
	stores := pgtest.InTurn(func(_ *testing.T, number int) *postgres.Store {
		admin := mustOpen(parent, fmt.Sprintf("%s&options=-ccitus.shard_count%%3D%d", citusURL(parent), citusShards), 1)
		opts := mustCitusSchema(parent, admin, fmt.Sprintf("incident_%d_%d_%d", os.Getpid(), turn, number))
		opts.CitusWorker, opts.Unprepared = options.CitusWorker, options.Unprepared
		return mustNew(parent, mustOpen(parent, url, 16), &opts)
	}, func(t *testing.T, s *postgres.Store) {
		pgtest.AwaitIdle(t, s.Pool())
		checkActive(t, s, 0)
		mustExec(t, s.Pool(), "SET search_path TO "+s.Schema()+";"+deleteAllSQL+"RESET search_path")
	})
	return func(t *testing.T) incident.Store { return stores(t) }
}

func TestCitus_store(t *testing.T) { runCitus(t, storetest.Run) }

// A store without prepared statements: through the servers themselves, and through poolers that may give each
// transaction another connection, before the coordinator and before the workers, too.
func TestCitus_unprepared(t *testing.T) {
	const binary = "&binary_parameters=yes"
	pooled := pgtest.NewPgBouncer(t, citusURL(t), "default_pool_size = 5") + binary
	workers := map[string]*sqlx.DB{}
	for address, url := range citusWorkerURLs(t) {
		workers[address] = mustOpen(t, pgtest.NewPgBouncer(t, url, "default_pool_size = 5")+binary, 16)
	}
	routed := postgres.Options{CitusWorker: func(address string) *sqlx.DB { return workers[address] }}
	t.Run("direct", func(t *testing.T) {
		storetest.Run(t, emptyCitusStores(t, citusURL(t)+binary, postgres.Options{Unprepared: true}))
	})
	t.Run("pooled", func(t *testing.T) { storetest.Run(t, emptyCitusStores(t, pooled, postgres.Options{})) })
	t.Run("workers", func(t *testing.T) {
		stores := emptyCitusStores(t, pooled, routed)
		storetest.Run(t, stores)
		storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t).(*postgres.Store) })
		storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t).(*postgres.Store) })
	})
}

func TestCitus_model(t *testing.T) { runCitus(t, managertest.Model) }

func TestCitus_linearizable(t *testing.T) { runCitus(t, managertest.Linearizable) }

func TestCitus_report(t *testing.T) {
	runCitus(t, func(t *testing.T, stores func(t *testing.T) incident.Store) {
		storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return stores(t).(*postgres.Store) })
	})
}

func TestCitus_retention(t *testing.T) {
	runCitus(t, func(t *testing.T, stores func(t *testing.T) incident.Store) {
		storetest.RunRetention(t, func(t *testing.T) incident.RetentionStore { return stores(t).(*postgres.Store) })
	})
}

func TestCitus_feed(t *testing.T) {
	runCitus(t, func(t *testing.T, stores func(t *testing.T) incident.Store) {
		storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t).(*postgres.Store) })
	})
}

func TestCitus_outbox(t *testing.T) {
	runCitus(t, func(t *testing.T, stores func(t *testing.T) incident.Store) {
		storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t).(*postgres.Store) })
	})
}
