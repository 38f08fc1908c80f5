package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// Copy the database while it is in use, and later put the copy in its place.
func ExampleStore_Backup() {
	path, remove := newFile()
	defer remove()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, path, nil)
	if err != nil {
		log.Fatal(err)
	}
	createOne(ctx, store)
	if err := store.Backup(ctx, path+".backup"); err != nil { // the store remains in use
		log.Fatal(err)
	}
	createOne(ctx, store) // is not in the copy
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	if err := restore(path+".backup", path); err != nil {
		log.Fatal(err)
	}
	store, err = sqlite.Open(ctx, path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	createOne(ctx, store) // continues after the incidents of the copy
	// Output:
	// acme#1
	// acme#2
	// acme#2
}

// restore moves a backup to the place of the database. No process may use the database.
func restore(backup, path string) error {
	for _, old := range []string{path + "-wal", path + "-shm"} { // they belong to the old file
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(backup, path)
}

// createOne creates an incident, and prints its key.
func createOne(ctx context.Context, store *sqlite.Store) {
	incidents, err := incident.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Checkout is slow"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Key())
}
