//go:build citus

package hostworld_test

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

// These tests need a coordinator of Citus, whose URL is INCIDENT_TEST_CITUS_URL, and the URLs of its
// workers in INCIDENT_TEST_CITUS_WORKER_URLS, with commas between them.

// citusWorlds are the environments of hosts on Citus. In each, statements go to the workers.
var citusWorlds = []world{
	{name: "pgx", open: openPGX, conns: 16},
	{name: "pgx, exec", open: openPGX, dsn: "&default_query_exec_mode=exec", conns: 16, options: postgres.Options{Unprepared: true}},
	{name: "pgx, simple_protocol", open: openPGX, dsn: "&default_query_exec_mode=simple_protocol", conns: 16},
	{name: "pgx through PgBouncer", open: openPGX, dsn: "&default_query_exec_mode=exec", conns: 16, bouncer: bouncerOf(5)},
	{name: "otelsql over pgx", open: openTracedPGX, conns: 16},
}

// citusTurns distinguishes the tables of tests.
var citusTurns atomic.Int64

// citusStores is stores on Citus.
func (w world) citusStores(t *testing.T) func(t *testing.T) *postgres.Store {
	t.Helper()
	parent, turn := t, citusTurns.Add(1)
	coordinator, through := os.Getenv("INCIDENT_TEST_CITUS_URL"), func(url string) *sqlx.DB {
		return w.mustOpen(parent, w.through(parent, url))
	}
	pools := map[string]*sqlx.DB{}
	for text := range strings.SplitSeq(os.Getenv("INCIDENT_TEST_CITUS_WORKER_URLS"), ",") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || coordinator == "" {
			t.Fatal("INCIDENT_TEST_CITUS_URL and INCIDENT_TEST_CITUS_WORKER_URLS must have the URLs of a coordinator of Citus and its workers")
		}
		pools[u.Host] = through(text)
	}
	pool := through(coordinator)
	schemas := pgtest.InTurn(func(t *testing.T, number int) schema {
		opts := w.options
		opts.Schema, opts.Citus = fmt.Sprintf("hosts_%d_%d_%d", os.Getpid(), turn, number), true
		opts.CitusWorker = func(address string) *sqlx.DB { return pools[address] }
		s := schema{admin: world{open: openPQ, conns: 1}.mustOpen(parent, coordinator+"&options=-ccitus.shard_count%3D4")}
		if err := postgres.MigrateCitus(parent.Context(), s.admin, &opts); err != nil {
			t.Fatal(err)
		}
		parent.Cleanup(func() { s.admin.MustExec("DROP SCHEMA " + opts.Schema + " CASCADE") })
		s.store = mustNew(parent, pool, &opts)
		return s
	}, func(t *testing.T, s schema) {
		pgtest.AwaitIdle(t, pool)
		s.admin.MustExec("SET search_path TO " + s.store.Schema() + ";" + deleteAllSQL + "RESET search_path")
	})
	return func(t *testing.T) *postgres.Store { return schemas(t).store }
}

// TestCitus runs the suites on Citus over pgx, a wrapper of it, and a pooler.
func TestCitus(t *testing.T) {
	for _, w := range citusWorlds {
		t.Run(w.name, func(t *testing.T) {
			stores := w.citusStores(t)
			storetest.Run(t, asStores(stores))
			storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t) })
			storetest.RunRetention(t, func(t *testing.T) incident.RetentionStore { return stores(t) })
			storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return stores(t) })
			storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t) })
			managertest.Model(t, asStores(stores))
		})
	}
}
