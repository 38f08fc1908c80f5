package postgres_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// orderFailed writes a row of the host and an incident in a transaction of the library.
func orderFailed(ctx context.Context, incidents incident.Manager, order int) error {
	return incidents.InTx(ctx, func(tx incident.Manager) error {
		db, err := postgres.Tx(tx)
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO orders VALUES ($1)", order); err != nil {
			return err
		}
		_, err = tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Order failed"})
		return err
	})
}

// orderFailedToo does the same in a transaction of the host.
func orderFailedToo(ctx context.Context, db *sqlx.DB, store *postgres.Store, incidents incident.Manager, order int) error {
	hostTx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer hostTx.Rollback()
	tx, done, err := incidents.Join(store.Join(hostTx))
	if err != nil {
		return err
	}
	defer done() // after the commit
	if _, err := hostTx.ExecContext(ctx, "INSERT INTO orders VALUES ($1)", order); err != nil {
		return err
	}
	if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Order failed"}); err != nil {
		return err
	}
	return hostTx.Commit()
}

// Both recipes in the README commit the host's statements together with the library's
// calls.
func TestREADME_transactions(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 1)
	if err := orderFailed(t.Context(), h, 1); err != nil {
		t.Fatal(err)
	}
	if err := orderFailedToo(t.Context(), h.pool, h.store, h, 2); err != nil {
		t.Fatal(err)
	}
	page, err := h.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil || len(page.Incidents) != 2 || h.orders(t) != 2 {
		t.Errorf("there are %d incidents and %d orders, %v; want 2 and 2", len(page.Incidents), h.orders(t), err)
	}
}
