package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

func TestStore_outbox(t *testing.T) {
	stores := emptyStores(t, kind{conns: 16})
	storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t).(*postgres.Store) })
}

func TestStore_outboxPartitioned(t *testing.T) {
	stores := emptyStores(t, kind{conns: 16, migrate: migratePartitioned})
	storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return stores(t).(*postgres.Store) })
}
