package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// newOrders returns a Manager, and the pool of a database that also has a table of the host.
func newOrders(ctx context.Context, url string) (incident.Manager, *sqlx.DB) {
	db, err := sqlx.ConnectContext(ctx, "postgres", url)
	if err != nil {
		log.Fatal(err)
	}
	if err := postgres.Migrate(ctx, db, nil); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (number int, state text)"); err != nil {
		log.Fatal(err)
	}
	store, err := postgres.New(db, nil)
	if err != nil {
		log.Fatal(err)
	}
	incidents, err := incident.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	return incidents, db
}

// Write a row of the host and an incident in the same transaction: both are committed, or neither.
func ExampleTx() {
	url, drop := pgtest.ExampleDatabase() // postgres://user:password@host:5432/name
	defer drop()
	ctx := context.Background()
	incidents, db := newOrders(ctx, url)
	defer db.Close()

	fail := func(order int, cause error) error {
		return incidents.InTx(ctx, func(tx incident.Manager) error {
			hostTx, err := postgres.Tx(tx)
			if err != nil {
				return err
			}
			if _, err := hostTx.ExecContext(ctx, "INSERT INTO orders VALUES ($1, 'failed')", order); err != nil {
				return err
			}
			title := fmt.Sprintf("Order %d failed", order)
			if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: title}); err != nil {
				return err
			}
			return cause // an error undoes both
		})
	}
	fmt.Println(fail(1, nil))
	fmt.Println(fail(2, errors.New("never mind")))

	var orders int
	if err := db.GetContext(ctx, &orders, "SELECT count(*) FROM orders"); err != nil {
		log.Fatal(err)
	}
	page, err := incidents.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("orders:", orders, "incidents:", len(page.Incidents), page.Incidents[0].Title)
	// Output:
	// <nil>
	// never mind
	// orders: 1 incidents: 1 Order 1 failed
}
