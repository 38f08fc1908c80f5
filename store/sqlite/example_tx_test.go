package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// orders is a host with a table of orders in the file of its incidents.
type orders struct {
	incidents incident.Manager
	store     *sqlite.Store
	pool      *sqlx.DB
}

func newOrders(ctx context.Context, path string) *orders {
	pool := sqlx.MustConnect("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	pool.MustExec("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
	store, err := sqlite.New(ctx, pool, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	incidents, err := incident.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	return &orders{incidents, store, pool}
}

// failInTx writes an order and an incident in a transaction of the library.
func (o *orders) failInTx(ctx context.Context, order int, cause error) error {
	return o.incidents.InTx(ctx, func(tx incident.Manager) error {
		db, err := sqlite.Tx(tx) // the *sqlx.Tx, which InTx commits or rolls back
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO orders VALUES (?)", order); err != nil {
			return err
		}
		if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Order failed"}); err != nil {
			return err
		}
		return cause // an error undoes both
	})
}

// failJoined writes an order and an incident in a transaction of the host.
func (o *orders) failJoined(ctx context.Context, order int) error {
	hostTx, err := o.pool.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer hostTx.Rollback() // does nothing after the commit
	if _, err := hostTx.ExecContext(ctx, "INSERT INTO orders VALUES (?)", order); err != nil {
		return err
	}
	incidents, store := o.incidents, o.store
	tx, done, err := incidents.Join(store.Join(hostTx)) // a Manager of the same options
	if err != nil {
		return err
	}
	defer done() // after the commit or rollback
	if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Order failed"}); err != nil {
		return err
	}
	return hostTx.Commit()
}

// print writes the number of orders and of incidents.
func (o *orders) print(ctx context.Context) {
	var n int
	if err := o.pool.GetContext(ctx, &n, "SELECT count(*) FROM orders"); err != nil {
		log.Fatal(err)
	}
	page, err := o.incidents.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("orders:", n, "incidents:", len(page.Incidents))
}

func (o *orders) close() {
	if err := errors.Join(o.store.Close(), o.pool.Close()); err != nil {
		log.Fatal(err)
	}
}

// Write a row of the host in the transaction of InTx: both are committed, or neither.
func ExampleTx() {
	path, remove := newFile()
	defer remove()
	ctx := context.Background()
	host := newOrders(ctx, path)
	defer host.close()
	fmt.Println(host.failInTx(ctx, 1, nil))
	fmt.Println(host.failInTx(ctx, 2, errors.New("never mind")))
	host.print(ctx)
	// Output:
	// <nil>
	// never mind
	// orders: 1 incidents: 1
}

// Call the library in a transaction of the host: both are committed, or neither.
func ExampleStore_Join() {
	path, remove := newFile()
	defer remove()
	ctx := context.Background()
	host := newOrders(ctx, path)
	defer host.close()
	fmt.Println(host.failJoined(ctx, 1))
	fmt.Println(host.failJoined(ctx, 1) != nil) // the order exists already
	host.print(ctx)
	// Output:
	// <nil>
	// true
	// orders: 1 incidents: 1
}
