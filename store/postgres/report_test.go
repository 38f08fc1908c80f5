package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

// reportStores returns a factory of empty stores.
func reportStores(t *testing.T, k kind) func(t *testing.T) incident.ReportStore {
	stores := emptyStores(t, k)
	return func(t *testing.T) incident.ReportStore { return stores(t).(*postgres.Store) }
}

func TestStore_report(t *testing.T) { storetest.RunReport(t, reportStores(t, kind{conns: 16})) }

func TestStore_reportOneConnection(t *testing.T) {
	storetest.RunReport(t, reportStores(t, kind{conns: 1}))
}

func TestStore_reportUnprepared(t *testing.T) {
	storetest.RunReport(t, reportStores(t, kind{
		conns: 16, dsn: "&binary_parameters=yes", options: postgres.Options{Unprepared: true},
	}))
}

func TestStore_reportPartitioned(t *testing.T) {
	storetest.RunReport(t, reportStores(t, kind{conns: 16, migrate: migratePartitioned}))
}
