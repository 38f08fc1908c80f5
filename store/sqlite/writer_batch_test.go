package sqlite_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// applyTogether applies changes in one batch: all of them wait while another transaction writes.
func applyTogether(t *testing.T, s *sqlite.Store, changes []incident.Change) (results []incident.Applied, errs []error) {
	t.Helper()
	results, errs = make([]incident.Applied, len(changes)), make([]error, len(changes))
	release := holdWriteLock(t, s.Path())
	var all sync.WaitGroup
	for i, c := range changes {
		all.Go(func() { results[i], errs[i] = s.Apply(context.Background(), c) })
		awaitWaiting(t, s, i+1) // in this order
	}
	release()
	all.Wait()
	return results, errs
}

func newChange(title string, edit func(c *incident.Change)) incident.Change {
	at := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	c := incident.Change{
		Key: incident.Key{OrganizationID: "acme"},
		Incident: &incident.Incident{
			OrganizationID: "acme", Title: title, Status: incident.StatusOpen, Version: 1,
			DateStarted: at, DateDetected: at, DateAdded: at,
		},
		Activities: []incident.Activity{{Type: incident.ActivityTypeCreated, DateAdded: at, NotificationUUID: uuid.New()}},
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

// Changes of a batch that race for a slot, a version or a UUID, or violate a constraint, are
// answered as if each had run alone, in order. The results of the others do not change.
func TestWriter_batchOfRacingChanges(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	first := newChange("first", nil)
	if _, err := s.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "project"}
	claim := func(c *incident.Change) {
		c.Incident.AlertRuleID, c.Incident.Projects = "rule", []incident.ProjectID{"project"}
		c.Claim = []incident.Slot{slot}
	}
	detection := uuid.New()
	detected := func(c *incident.Change) { c.Incident.DetectionUUID = detection }
	update := newChange("first, updated", func(c *incident.Change) {
		c.Key.Identifier, c.ExpectVersion, c.Incident.Identifier, c.Incident.Version = 1, 1, 1, 2
	})
	conflicting := update
	conflicting.Activities = []incident.Activity{update.Activities[0]}
	conflicting.Activities[0].NotificationUUID = uuid.New()
	changes := []incident.Change{
		newChange("2", nil),
		newChange("claims", claim),       // 3
		newChange("claims, too", claim),  // conflict
		newChange("detected", detected),  // 4
		newChange("detected?", detected), // the same
		update,
		conflicting,
		newChange("repeats a UUID", func(c *incident.Change) { // violates a constraint
			again := c.Activities[0]
			again.NotificationUUID = first.Activities[0].NotificationUUID
			c.Activities = append(c.Activities, again)
		}),
		newChange("closed without a date", func(c *incident.Change) { c.Incident.Status = incident.StatusClosed }), // violates another
		newChange("5", nil),
	}
	want := []struct {
		identifier int64
		err        error
	}{{2, nil}, {3, nil}, {0, incident.ErrConflict}, {4, nil}, {4, nil}, {1, nil}, {0, incident.ErrVersionConflict}, {0, incident.ErrConflict}, {0, incident.ErrInvalid}, {5, nil}}
	results, errs := applyTogether(t, s, changes)
	for i, w := range want {
		if got := results[i].Incident.Identifier; !errors.Is(errs[i], w.err) || w.err == nil && got != w.identifier {
			t.Errorf("change %d of the batch = incident %d, %v; want %d, %v", i, got, errs[i], w.identifier, w.err)
		}
	}
	if !results[4].Replayed {
		t.Error("the second creation with the UUID of a detection was not replayed")
	}
	if e, ok := errors.AsType[*incident.ConflictError](errs[2]); !ok || e.Existing.Identifier != 3 {
		t.Errorf("a slot that is held = %v, want its holder 3", errs[2])
	}
	if n := count(t, s.Path(), "SELECT incidents FROM incident_organization"); n != 5 {
		t.Errorf("the last identifier is %d, want 5", n)
	}
	if n := count(t, s.Path(), "SELECT count(*) FROM incident_activity"); n != 6 {
		t.Errorf("there are %d activities, want 6: refused changes write none", n)
	}
}

// A change that breaks the contract so that the store panics, panics in the goroutine of its
// caller. The other changes of the batch succeed.
func TestWriter_batchWithPanic(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	release := holdWriteLock(t, s.Path())
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			defer func() {
				if value := recover(); (value != nil) != (i == 1) {
					t.Errorf("change %d panicked with %v, want change 1 to panic", i, value)
				}
			}()
			if i == 1 {
				_, _ = s.Apply(context.Background(), incident.Change{Key: incident.Key{OrganizationID: "acme"}, Incident: nil})
				t.Error("a change without an incident returns")
				return
			}
			if _, err := create(context.Background(), s, "x"); err != nil {
				t.Errorf("change %d = %v, want nil", i, err)
			}
		})
		awaitWaiting(t, s, i+1)
	}
	release()
	all.Wait()
	if n := mustCreate(t, s, "after"); n != 3 {
		t.Errorf("the next identifier is %d, want 3", n)
	}
}

// A callback of the host that panics in a transaction, or in a joined part of it, undoes what it
// has written. The writer remains usable.
func TestInTx_panics(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	panicIn := func(s *sqlite.Store) {
		defer func() { _ = recover() }()
		_ = s.InTx(context.Background(), func(tx incident.Store) error {
			if _, err := create(context.Background(), tx, "undone"); err != nil {
				t.Error(err)
			}
			panic("of the host")
		})
	}
	panicIn(h.store)
	hostTx := h.pool.MustBegin()
	joined := h.store.Join(hostTx)
	if _, err := create(t.Context(), joined, "of the host"); err != nil {
		t.Fatal(err)
	}
	panicIn(joined)
	if n, err := create(t.Context(), joined, "after"); err != nil || n != 2 {
		t.Errorf("Apply() after a part that panicked = %d, %v; want 2", n, err)
	}
	if err := hostTx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := mustCreate(t, h.store, "later"); n != 3 {
		t.Errorf("the next identifier is %d, want 3", n)
	}
}
