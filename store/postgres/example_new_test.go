package postgres_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Keep incidents in PostgreSQL, in a pool of the host.
func ExampleNew() {
	url, drop := pgtest.ExampleDatabase() // postgres://user:password@host:5432/name
	defer drop()

	ctx := context.Background()
	db, err := sqlx.ConnectContext(ctx, "postgres", url)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := postgres.Migrate(ctx, db, nil); err != nil { // or with the host's migration tool
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

	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Key(), inc.Status)
	// Output: acme#1 Open
}
