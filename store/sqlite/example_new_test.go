package sqlite_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// Keep incidents in a database of the host, beside the host's own tables.
func ExampleNew() {
	path, remove := newFile()
	defer remove()
	ctx := context.Background()
	pool, err := sqlx.ConnectContext(ctx, "sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	pool.MustExec("CREATE TABLE orders (number INTEGER PRIMARY KEY, state TEXT)")
	store, err := sqlite.New(ctx, pool, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()                        // before the pool
	if err := store.Migrate(ctx); err != nil { // or with the host's migration tool: see Migrations
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

// Create the tables with a migration tool of the host. This one runs each file in a transaction,
// and remembers its name.
func ExampleMigrations() {
	path, remove := newFile()
	defer remove()
	ctx := context.Background()
	pool := sqlx.MustConnect("sqlite", "file:"+path+"?_txlock=immediate")
	defer pool.Close()
	pool.MustExec("CREATE TABLE incident_migration (name TEXT PRIMARY KEY)") // the tool's versions of these files
	files := sqlite.Migrations()
	names, err := fs.Glob(files, "*.up.sql") // sorted
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			log.Fatal(err)
		}
		tx := pool.MustBegin()
		tx.MustExec("INSERT INTO incident_migration VALUES (?)", name)
		tx.MustExec(string(text))
		if err := tx.Commit(); err != nil {
			log.Fatal(err)
		}
	}

	store, err := sqlite.New(ctx, pool, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	incidents, err := incident.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	page, err := incidents.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})
	fmt.Println(len(page.Incidents), err)
	// Output: 0 <nil>
}
