package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A server that took over without the last commits gives an identifier and a sequence again. The
// settlement of the lost notification does not end the claim of the new.
func TestStore_settlesOnAnotherHistory(t *testing.T) {
	t.Parallel()
	leased := func(t *testing.T, s *postgres.Store, name string) incident.Ticket {
		return mustCreateLeased(t, s, 1, name)[0]
	}
	together := func(t *testing.T, s *postgres.Store, name string) incident.Ticket {
		return mustCreateLeased(t, s, 2, name)[0]
	}
	claimed := func(t *testing.T, s *postgres.Store, name string) incident.Ticket {
		mustAppend(t, s, mustOpenIncident(t, s, "acme").Key(), []incident.NotifyTarget{target(name)}, typeComment)
		return mustClaim(t, s, claimOf(target(name)))[0].Ticket
	}
	appended := func(t *testing.T, s *postgres.Store, name string) incident.Ticket {
		key := incident.Key{OrganizationID: "acme", Identifier: 1}
		mustAppend(t, s, key, []incident.NotifyTarget{target(name)}, typeComment)
		first := mustClaim(t, s, claimOf(target(name)))
		mustSettle(t, s, incident.Settlement{Ticket: first[0].Ticket, Outcome: incident.OutcomeDelivered})
		return mustClaim(t, s, claimOf(target(name)))[0].Ticket
	}
	for kind, world := range map[string]struct {
		before func(t *testing.T, s *postgres.Store, name string)
		claim  func(t *testing.T, s *postgres.Store, name string) incident.Ticket
	}{
		"claimed by the creation": {nil, leased},
		"claimed by a batch":      {nil, together},
		"claimed":                 {nil, claimed},
		"appended to a queue": {func(t *testing.T, s *postgres.Store, name string) {
			mustAppend(t, s, mustOpenIncident(t, s, "acme").Key(), []incident.NotifyTarget{target(name)}, typeComment)
		}, appended},
	} {
		for _, name := range []string{"", "mail"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				s, _ := newStore(t)
				if world.before != nil {
					world.before(t, s, name)
				}
				fallBack := mustSave(t, s.Pool())
				lost := world.claim(t, s, name)
				fallBack()
				current := world.claim(t, s, name)
				if lost.Key != current.Key || lost.Sequence != current.Sequence {
					t.Fatalf("the tickets are %+v and %+v, of different positions", lost, current)
				}
				all := mustBacklog(t, s)[name].Pending
				mustSettle(t, s, incident.Settlement{Ticket: lost, Outcome: incident.OutcomeDelivered})
				if got := mustBacklog(t, s)[name].Pending; got != all {
					t.Errorf("%d notifications are pending after the settlement of the lost one, want %d", got, all)
				}
				mustSettle(t, s, incident.Settlement{Ticket: current, Outcome: incident.OutcomeDelivered})
				if got := mustBacklog(t, s)[name].Pending; got != all-1 {
					t.Errorf("%d notifications are pending after the settlement, want %d", got, all-1)
				}
			})
		}
	}
}

// mustSave returns a function that gives all tables their present rows again.
func mustSave(t *testing.T, pool *sqlx.DB) (fallBack func()) {
	t.Helper()
	var tables []string
	mustDo(t, pool.Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'incident%'`))
	for _, table := range tables {
		pool.MustExec(`CREATE TABLE saved_` + table + ` AS TABLE ` + table)
	}
	return func() {
		for _, table := range tables {
			pool.MustExec(`DELETE FROM ` + table)
			pool.MustExec(`INSERT INTO ` + table + ` SELECT * FROM saved_` + table)
		}
	}
}

// mustCreateLeased makes n incidents in a statement, each with a queue that it claims, and returns the
// tickets in order of identifier.
func mustCreateLeased(t *testing.T, s *postgres.Store, n int, notifier string) []incident.Ticket {
	t.Helper()
	waiting, release := s.HoldLanes()
	tickets, errs := make([]incident.Ticket, n), make([]error, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			applied, err := s.Apply(t.Context(), leasedCreation(notifier))
			key := applied.Incident.Key()
			if err == nil && applied.Fence == 0 {
				t.Error("the creation claims nothing")
			}
			if key.Identifier == 0 {
				key.Identifier = 1
			}
			errs[key.Identifier-1] = err
			tickets[key.Identifier-1] = incident.Ticket{Key: key, Notifier: notifier, Sequence: applied.Sequence, Fence: applied.Fence}
		})
	}
	mustWait(t, func() (bool, error) { return waiting() == n, nil })
	release()
	all.Wait()
	mustDo(t, errs...)
	return tickets
}

// leasedCreation is a creation as batches write it, which claims its queue.
func leasedCreation(notifier string) incident.Change {
	at := clock()
	return incident.Change{
		Key: incident.Key{OrganizationID: "acme"},
		Incident: &incident.Incident{
			OrganizationID: "acme", Version: 1, Type: incident.TypeDetected, Status: incident.StatusOpen, StatusMethod: 1,
			DateStarted: at, DateDetected: at, DateAdded: at, Title: "Down", Projects: []incident.ProjectID{"web"},
		},
		Link: []incident.ProjectID{"web"},
		Activities: []incident.Activity{
			{Type: incident.ActivityTypeDetected, DateAdded: at, NotificationUUID: uuid.New()},
			{Type: typeCreated, Value: incident.StatusOpen, DateAdded: at, NotificationUUID: uuid.New()},
		},
		Notify: []incident.NotifyTarget{target(notifier)}, Leases: []time.Duration{time.Hour},
	}
}
