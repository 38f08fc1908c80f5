package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/store/postgres"
)

// deletionTask is the task of a process that deletes and is killed.
type deletionTask struct {
	Way wayToDelete
}

// wayToDelete is a call that deletes.
type wayToDelete string

const (
	byPurge        wayToDelete = "purge"
	byErasure      wayToDelete = "erase"
	byOrganization wayToDelete = "delete"
	byRun          wayToDelete = "run"
)

var waysToDelete = []wayToDelete{byPurge, byErasure, byOrganization, byRun}

// deletedOrg is the organization in which the process deletes, erasedUser the user whom it erases.
const (
	deletedOrg = incident.OrganizationID("org-000")
	erasedUser = incident.UserID("ada")
	erasedAs   = incident.UserID("grace")
)

// run deletes as the task says, prints "done" and waits for the end of its standard input. Its
// calls of the store delete a few incidents each.
func (t *deletionTask) run(ctx context.Context, s *postgres.Store) error {
	if err := t.delete(ctx, s); err != nil {
		return err
	}
	fmt.Println("done")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // blocks until the end
	return nil
}

// deletedAtOnce is the number of incidents that a call of the store deletes.
const deletedAtOnce = 9

func (t *deletionTask) delete(ctx context.Context, s *postgres.Store) error {
	switch t.Way {
	case byPurge:
		for q := purgeQuery(); ; {
			b, err := s.Purge(ctx, q)
			if err != nil || b.Next == nil {
				return err
			}
			q.After = b.Next
		}
	case byErasure:
		for q := eraseQuery(); ; {
			b, err := s.EraseUser(ctx, q)
			if err != nil || b.Next == 0 {
				return err
			}
			q.After = b.Next
		}
	case byOrganization:
		for {
			b, err := s.DeleteOrganization(ctx, deletedOrg, deletedAtOnce)
			if err != nil || b.Done {
				return err
			}
		}
	}
	m, err := incident.New(s, retaining())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			page, err := m.List(ctx, incident.IncidentFilter{OrganizationID: deletedOrg, Statuses: []incident.Status{incident.StatusClosed}})
			if err == nil && len(page.Incidents) == 0 {
				cancel()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return m.Run(ctx)
}

func purgeQuery() incident.PurgeQuery {
	return incident.PurgeQuery{OrganizationID: deletedOrg, ClosedBefore: time.Now(), Limit: deletedAtOnce}
}

func eraseQuery() incident.EraseQuery {
	return incident.EraseQuery{OrganizationID: deletedOrg, UserID: erasedUser, As: erasedAs, Limit: deletedAtOnce}
}

// retaining returns options with which Run purges the closed incidents of deletedOrg.
func retaining() *incident.Options {
	return &incident.Options{
		Notifier: incident.NotifyElsewhere, Logger: slog.New(slog.DiscardHandler),
		Retention: incident.Retention{Interval: time.Second, KeepFor: func(org incident.OrganizationID) time.Duration {
			if org == incident.OrganizationID(pgload.Org(0)) {
				return time.Hour
			}
			return 0
		}},
	}
}
