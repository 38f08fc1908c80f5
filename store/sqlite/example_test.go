package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// newFile returns a path for an example, and a function that removes all files.
func newFile() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "incidents")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "incidents.db"), func() { _ = os.RemoveAll(dir) } // only this example uses it
}

// Keep incidents in a file. They outlive the process.
func Example() {
	path, remove := newFile() // such as incidents.db
	defer remove()
	for range 2 {
		createIn(path)
	}
	// Output:
	// acme#1 Open
	// acme#2 Open
}

// createIn is a process that creates an incident.
func createIn(path string) {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, path, nil) // creates the file and its tables
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	incidents, err := incident.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Checkout is slow"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inc.Key(), inc.Status)
}

// Declare that a single process uses the file, and wait for the operating system instead of the
// disk.
func ExampleOpen() {
	path, remove := newFile()
	defer remove()
	store, err := sqlite.Open(context.Background(), path, &sqlite.Options{
		SingleProcess: true,                     // the cache answers without following other processes
		Synchronous:   sqlite.SynchronousNormal, // a loss of power may lose the last commits
	})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	fmt.Println(store.Path() == path)
	// Output: true
}

// Tell errors of the file apart. Their texts have the remedy.
func ExampleOpen_errors() {
	path, remove := newFile()
	defer remove()
	_, err := sqlite.Open(context.Background(), filepath.Join(path, "none", "incidents.db"), nil)
	switch {
	case errors.Is(err, sqlite.ErrNetworkFileSystem):
		fmt.Println("move the file to a local disk")
	case errors.Is(err, sqlite.ErrNewerSchema):
		fmt.Println("update this program")
	case errors.Is(err, incident.ErrUnavailable):
		fmt.Println("unavailable")
	}
	// Output: unavailable
}
