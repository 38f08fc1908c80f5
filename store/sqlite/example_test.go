package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// Incidents outlive the process.
func Example() {
	dir, err := os.MkdirTemp("", "incidents")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	path := filepath.Join(dir, "incidents.db")
	for range 2 {
		store, err := sqlite.Open(ctx, path, &sqlite.Options{SingleProcess: true})
		if err != nil {
			log.Fatal(err)
		}
		incidents, err := incident.New(store, nil)
		if err != nil {
			log.Fatal(err)
		}
		inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Checkout is slow"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(inc.Key())
		if err := store.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// acme#1
	// acme#2
}

// A host writes its own rows in the transaction of InTx. Both are committed, or neither.
func ExampleTx() {
	ctx := context.Background()
	var incidents incident.Manager // of a store of this package
	err := incidents.InTx(ctx, func(tx incident.Manager) error {
		db, err := sqlite.Tx(tx)
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, "UPDATE orders SET held = 1 WHERE id = ?", 7); err != nil {
			return err
		}
		_, err = tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Order 7 is stuck"})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
