package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

func TestStore_retention(t *testing.T) { runRetention(t, kind{conns: 16}) }

// A batch is a transaction on the pool's only connection.
func TestStore_retentionOneConnection(t *testing.T) { runRetention(t, kind{conns: 1}) }

func TestStore_retentionUnprepared(t *testing.T) {
	runRetention(t, kind{conns: 16, dsn: "&binary_parameters=yes", options: postgres.Options{Unprepared: true}})
}

func TestStore_retentionPartitioned(t *testing.T) {
	runRetention(t, kind{conns: 16, migrate: migratePartitioned})
}

func runRetention(t *testing.T, k kind) {
	t.Helper()
	stores := emptyStores(t, k)
	storetest.RunRetention(t, func(t *testing.T) incident.RetentionStore { return stores(t).(*postgres.Store) })
}
