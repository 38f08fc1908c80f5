package postgres_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// servers has a Manager for each database server. An organization stays on the server on
// which it began, so the choice is a fact of the host's, as the organization is. A hash of
// the identifier would move organizations when a server is added.
type servers struct {
	managers map[string]incident.Manager                   // by the name of the server
	home     func(incident.OrganizationID) (string, error) // the server of an organization
}

// of returns the Manager of an organization.
func (s *servers) of(org incident.OrganizationID) (incident.Manager, error) {
	name, err := s.home(org)
	if err != nil {
		return nil, err
	}
	m, ok := s.managers[name]
	if !ok {
		return nil, fmt.Errorf("organization %s is on the unknown server %q", org, name)
	}
	return m, nil
}

// run runs all Managers until ctx ends. A server that cannot be reached ends none of them.
func (s *servers) run(ctx context.Context) error {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	var all sync.WaitGroup
	for name, m := range s.managers {
		all.Go(func() {
			if err := m.Run(running); err != nil { // code of the host has panicked
				end(fmt.Errorf("server %s: %w", name, err))
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(running)
}

// Keep the incidents of many organizations on several servers.
func ExampleNew_servers() {
	ctx := context.Background()
	s := &servers{
		managers: map[string]incident.Manager{},
		home: func(org incident.OrganizationID) (string, error) { // from the host's table of organizations
			if org == "initech" {
				return "west", nil
			}
			return "east", nil
		},
	}
	for _, name := range []string{"east", "west"} {
		url, drop := pgtest.ExampleDatabase()
		defer drop()
		store, err := postgres.Open(ctx, url, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer store.Close()
		if err := store.Migrate(ctx); err != nil {
			log.Fatal(err)
		}
		if s.managers[name], err = incident.New(store, nil); err != nil {
			log.Fatal(err)
		}
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.run(running) }()

	for _, org := range []incident.OrganizationID{"acme", "initech"} {
		incidents, err := s.of(org)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: org, Title: "Search is slow"}); err != nil {
			log.Fatal(err)
		}
	}
	for _, name := range []string{"east", "west"} { // an operator's program looks at all
		for org, err := range incident.AllOrganizations(ctx, s.managers[name]) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(name, org)
		}
	}
	stop()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output:
	// east acme
	// west initech
}
