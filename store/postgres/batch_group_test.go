package postgres_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
)

// Creations that have left a slow group and run alone claim the same slot as members of the
// group. Each gets the true answer: one has created the incident, and the others conflict.
func TestStore_slowGroupCommitAnswersEach(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Slow"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		lock := s.Pool().MustBegin()
		lock.MustExec("SELECT FROM incident_organization WHERE organization_id = 'acme' FOR UPDATE")
		results := make([]incident.Result, 12)
		errs := make([]error, len(results))
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i], errs[i] = m.Create(t.Context(), newClaiming()) })
		}
		time.Sleep(2 * time.Second) // longer than each waits for the others
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		var created []incident.Key
		for i, err := range errs {
			switch {
			case err == nil:
				created = append(created, results[i].Key())
			case !errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrUnknownOutcome):
				t.Errorf("Create() = %v, want a conflict", err)
			}
		}
		if len(created) != 1 {
			t.Fatalf("created %v, want one incident", created)
		}
		_, err := m.UpdateStatus(t.Context(), created[0], incident.StatusUpdate{Status: incident.StatusClosed})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newClaiming() incident.NewIncident {
	return incident.NewIncident{
		OrganizationID: "acme", Title: "Down",
		AlertRuleID: firing.AlertRuleID, QueryID: firing.QueryID, Projects: []incident.ProjectID{firing.ProjectID},
	}
}

// Creations in a group commit are written once each, whichever reply is lost.
func TestStore_lostReplyOfGroupCommit(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	for n := 1; n <= 24; n++ {
		cut := []pgtest.Cut{pgtest.CutFIN, pgtest.CutRST}[n%2]
		l.empty(t)
		l.proxy.Do(pgtest.LoseReply, cut, n, 1)
		j := newJournal()
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() { j.create(t, l.through) })
		}
		all.Wait()
		l.proxy.Heal()
		j.check(t, l.past, l.store)
	}
}

// If the bounded time of a group ends before a creation is sent, the creation goes alone: its caller may wait
// longer. A creation that the database refuses leaves the others in the group.
func TestStore_groupCommitTakesTooLong(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	date := clock()
	change := incident.Change{Key: incident.Key{OrganizationID: "acme"}, Incident: &incident.Incident{
		OrganizationID: "acme", Version: 1, Title: "Down", Status: incident.StatusOpen, StatusMethod: incident.StatusMethodManual,
		Type: incident.TypeDetected, DateStarted: date, DateDetected: date, DateAdded: date,
	}, Activities: []incident.Activity{{Type: incident.ActivityTypeDetected, DateAdded: date, NotificationUUID: uuid.New()}}}
	if isWritten, err := s.WriteInGroup(t.Context(), change); !isWritten || err != nil {
		t.Errorf("a creation in a group = %t, %v", isWritten, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if isWritten, err := s.WriteInGroup(ended, change); isWritten {
		t.Errorf("a creation after the time of its group is left with %v", err)
	}
	change.Claim = []incident.Slot{apiSlot}
	mustDo(t, only(mustManager(t, s).Fire(t.Context(), firing)))
	if isWritten, err := s.WriteInGroup(t.Context(), change); !isWritten || !errors.Is(err, incident.ErrConflict) {
		t.Errorf("a creation in a taken slot = %t, %v", isWritten, err)
	}
}

// Each creation in a group commit has its own answer and its own context.
func TestStore_groupCommitAnswersEach(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	holder, err := m.Fire(t.Context(), firing)
	if err != nil {
		t.Fatal(err)
	}
	detection := uuid.New()
	short, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	var created atomic.Int64
	for i := range 60 {
		all.Go(func() {
			n := incident.NewIncident{OrganizationID: "acme", Title: "Down"}
			ctx := t.Context()
			switch i % 4 {
			case 1:
				n.DetectionUUID = detection
			case 2:
				n.AlertRuleID, n.QueryID, n.Projects = firing.AlertRuleID, firing.QueryID, []incident.ProjectID{firing.ProjectID}
			case 3:
				ctx = short
			}
			r, err := m.Create(ctx, n)
			if r.Changed {
				created.Add(1)
			}
			conflict, taken := errors.AsType[*incident.ConflictError](err)
			switch {
			case i%4 == 2 && !(taken && conflict.Existing == holder.Key()):
				t.Errorf("a creation in a taken slot = %v, want a conflict with %s", err, holder.Key())
			case i%4 == 3 && err != nil && !errors.Is(err, context.DeadlineExceeded):
				t.Errorf("a creation that may time out = %v", err)
			case i%4 < 2 && err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	pgtest.AwaitIdle(t, s.Pool())
	awaitQuiet(t, s.Pool()) // creations that timed out may be written later
	page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
	if n := int64(len(page.Incidents)); err != nil || n < 1+created.Load() || n > 1+15+1+15 {
		t.Errorf("%d incidents, %v; %d creations succeeded", n, err, created.Load())
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
	if err := managertest.AuditOutbox(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
}
