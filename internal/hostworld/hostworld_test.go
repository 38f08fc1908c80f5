package hostworld_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/storetest"
)

// worlds are the environments that the suites run in. The short form omits some that
// differ little from another.
var worlds = []world{
	{name: "pq", open: openPQ, conns: 16, longOnly: true}, // the store's own tests run in it
	{name: "pq, binary_parameters", open: openPQ, dsn: "&binary_parameters=yes", conns: 16, longOnly: true},
	{name: "pgx", open: openPGX, conns: 16, longOnly: true},
	{name: "pgx, cache_describe", open: openPGX, dsn: "&default_query_exec_mode=cache_describe", conns: 16, longOnly: true},
	{name: "pgx, describe_exec", open: openPGX, dsn: "&default_query_exec_mode=describe_exec", conns: 16, longOnly: true},
	{name: "pgx, exec", open: openPGX, dsn: "&default_query_exec_mode=exec", conns: 16, longOnly: true},
	{name: "pgx, simple_protocol", open: openPGX, dsn: "&default_query_exec_mode=simple_protocol", conns: 16, longOnly: true},
	{name: "otelsql over pq", open: openTracedPQ, conns: 16, longOnly: true},
	{name: "otelsql over pgx", open: openTracedPGX, conns: 16, light: true},
	{name: "pq through PgBouncer", open: openPQ, dsn: "&binary_parameters=yes", conns: 16, bouncer: bouncerOf(5)},
	{name: "pgx through PgBouncer", open: openPGX, dsn: "&default_query_exec_mode=exec", conns: 16, bouncer: bouncerOf(5), longOnly: true},
	{name: "pgx, one connection", open: openPGX, conns: 1, longOnly: true},
	{name: "pq, serializable", open: openPQ, dsn: "&default_transaction_isolation=serializable", conns: 16, longOnly: true},
	{name: "pgx, serializable", open: openPGX, dsn: "&default_transaction_isolation=serializable", conns: 16}, // both in one, for the short form
	{name: "pgx, repeatable read", open: openPGX, dsn: "&default_transaction_isolation=repeatable%20read", conns: 16, longOnly: true},
}

// inMost runs a suite of many calls in each world. In the short form it omits light
// worlds.
func inMost(t *testing.T, suite func(t *testing.T, w world)) {
	t.Helper()
	inEach(t, func(t *testing.T, w world) {
		if long || !w.light {
			suite(t, w)
		}
	})
}

// inEach runs a suite in each world.
func inEach(t *testing.T, suite func(t *testing.T, w world)) {
	t.Helper()
	for _, w := range worlds {
		if long || !w.longOnly {
			t.Run(w.name, func(t *testing.T) { suite(t, w) })
		}
	}
}

func TestStore(t *testing.T) {
	inMost(t, func(t *testing.T, w world) { storetest.Run(t, asStores(w.stores(t))) })
}

func TestFeed(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		stores := w.stores(t)
		storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return stores(t) })
	})
}

func TestRetention(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		stores := w.stores(t)
		storetest.RunRetention(t, func(t *testing.T) incident.RetentionStore { return stores(t) })
	})
}

func TestReport(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		stores := w.stores(t)
		storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return stores(t) })
	})
}

func TestOutbox(t *testing.T) {
	inMost(t, func(t *testing.T, w world) {
		stores := w.stores(t)
		storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t) })
	})
}

func TestModel(t *testing.T) {
	inEach(t, func(t *testing.T, w world) { managertest.Model(t, asStores(w.stores(t))) })
}

// Linearizable makes many calls, so the short form has a single world for each driver.
func TestLinearizable(t *testing.T) {
	inEach(t, func(t *testing.T, w world) {
		if long || w.name == "pgx, serializable" || w.name == "pq through PgBouncer" {
			managertest.Linearizable(t, asStores(w.stores(t)))
		}
	})
}
