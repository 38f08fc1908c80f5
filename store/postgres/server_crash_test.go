package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// journal records the answers that writers got.
type journal struct {
	mu       sync.Mutex          // guards the fields below
	created  map[uuid.UUID]int64 // by DetectionUUID: the identifier, or 0 if that is unknown
	comments map[string]outcome  // by text
	failed   map[uuid.UUID]bool  // creations that were refused
}

func newJournal() *journal {
	return &journal{created: map[uuid.UUID]int64{}, comments: map[string]outcome{}, failed: map[uuid.UUID]bool{}}
}

type outcome int

const (
	isWritten outcome = iota + 1
	isUnknown
	isRefused
)

func statusOf(err error) outcome {
	switch {
	case err == nil:
		return isWritten
	case errors.Is(err, incident.ErrUnknownOutcome):
		return isUnknown
	}
	return isRefused
}

// work creates incidents and comments on them until the context ends. It reports errors
// that a failing server does not explain.
func (j *journal) work(ctx context.Context, t *testing.T, m incident.Manager, done *atomic.Int64) {
	for ctx.Err() == nil {
		r, err := j.create(t, m)
		if err != nil {
			continue
		}
		text := r.DetectionUUID.String()
		_, err = m.Comment(context.Background(), r.Key(), incident.NewComment{UserID: "ada", Comment: text})
		checkOutage(t, err)
		j.mu.Lock()
		j.comments[text] = statusOf(err)
		j.mu.Unlock()
		_, err = m.UpdateStatus(context.Background(), r.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
		checkOutage(t, err)
		done.Add(1)
	}
}

// create creates an incident and records the outcome.
func (j *journal) create(t *testing.T, m incident.Manager) (incident.Result, error) {
	id := uuid.New()
	r, err := m.Create(context.Background(), incident.NewIncident{
		OrganizationID: "acme", Title: "Down", DetectionUUID: id, Projects: []incident.ProjectID{"api"},
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	if statusOf(err) == isRefused {
		j.failed[id] = true
	} else {
		j.created[id] = r.Identifier
	}
	checkOutage(t, err)
	return r, err
}

func checkOutage(t *testing.T, err error) {
	if err != nil && !errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, incident.ErrUnknownOutcome) {
		t.Error(err)
	}
}

// check compares the journal with the database.
func (j *journal) check(t *testing.T, m incident.Manager, s *postgres.Store) {
	t.Helper()
	ctx := context.Background()
	found, texts := map[uuid.UUID]int64{}, map[string]int{}
	f := incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize}
	for next := true; next; next = f.Cursor != "" {
		page, err := m.List(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, inc := range page.Incidents {
			found[inc.DetectionUUID] = inc.Identifier
			activities, err := m.Activities(ctx, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range activities.Activities {
				if a.Type == incident.ActivityTypeComment {
					texts[a.Comment]++
				}
			}
		}
		f.Cursor = page.Next
	}
	for id, identifier := range j.created {
		if got := found[id]; identifier != 0 && got != identifier {
			t.Errorf("incident %d was acknowledged, but the database has %d", identifier, got)
		}
	}
	for id := range j.failed {
		if found[id] != 0 {
			t.Errorf("incident %d is there, though its creation failed", found[id])
		}
	}
	for text, status := range j.comments {
		if n := texts[text]; n > 1 || status == isWritten && n != 1 || status == isRefused && n != 0 {
			t.Errorf("a comment of status %d is there %d times", status, n)
		}
	}
	if err := managertest.Audit(ctx, m, s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
	if err := managertest.AuditOutbox(ctx, m, s, "acme"); err != nil {
		t.Error(err)
	}
	unknown := 0
	for _, identifier := range j.created {
		if identifier == 0 {
			unknown++
		}
	}
	t.Logf("%d incidents, %d creations unknown, %d refused", len(found), unknown, len(j.failed))
}

// crash runs writers while the server is harmed repeatedly. No acknowledged write may be
// lost, and no write may be partial.
func crash(t *testing.T, rounds int, harm func(t *testing.T, s *pgtest.Server, admin *sqlx.DB)) {
	server, _ := startServer(t)
	admin, pool := mustOpen(t, server.URL(), 1), mustOpen(t, server.URL(), 16)
	crashUnder(t, mustNew(t, pool, nil), rounds, func() { harm(t, server, admin) })
}

// crashUnder is crash with a store whose server harm knows.
func crashUnder(t *testing.T, s *postgres.Store, rounds int, harm func()) {
	t.Helper()
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		writers.Go(func() { j.work(ctx, t, m, &done) })
	}
	for range rounds {
		awaitProgress(t, &done)
		harm()
	}
	awaitProgress(t, &done) // the pool has recovered by itself
	cancel()
	writers.Wait()
	j.check(t, m, s)
}

// awaitProgress waits until every writer can have made some calls.
func awaitProgress(t *testing.T, done *atomic.Int64) {
	t.Helper()
	target := done.Load() + 60
	for deadline := time.Now().Add(2 * time.Minute); done.Load() < target; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the writers make no progress")
		}
	}
}

func TestStore_serverKilled(t *testing.T) {
	t.Parallel()
	crash(t, 3, func(t *testing.T, s *pgtest.Server, _ *sqlx.DB) {
		s.Kill()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStore_backendsKilled(t *testing.T) {
	t.Parallel()
	crash(t, 10, func(t *testing.T, _ *pgtest.Server, admin *sqlx.DB) {
		_, err := admin.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < 0.7`)
		if err != nil {
			t.Error(fmt.Errorf("terminate backends: %w", err))
		}
	})
}
