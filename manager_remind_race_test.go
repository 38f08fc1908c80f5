package incident_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// remote is a store that a Manager takes for one behind a network, so that it decides on its cache.
type remote struct {
	*memory.Store
	before func()                         // each SetReminder, outside transactions; nil for none
	after  func(ok bool, err error) error // the outcome of each SetReminder; nil for none
}

func (r *remote) Local() bool { return false }

func (r *remote) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	if r.before != nil {
		r.before()
	}
	ok, err := r.Store.SetReminder(ctx, w)
	if r.after != nil {
		err = r.after(ok, err)
	}
	return ok, err
}

func remoteManager(t *testing.T, store incident.Store, opts incident.Options) incident.Manager {
	t.Helper()
	opts.Notifier = incident.NotifyElsewhere
	m, err := incident.New(store, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A cache that is outdated neither lets a reminder be set on a closed incident, nor keeps a
// reopened incident from having one.
func TestRemind_outdatedCache(t *testing.T) {
	ctx := t.Context()
	store := &remote{Store: memory.New()}
	m, other := remoteManager(t, store, incident.Options{}), remoteManager(t, store, incident.Options{Cache: incident.NoCache})
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, m); !got.Status.Active() {
		t.Fatal("the cache has no active incident")
	}
	if err := closeIncident(ctx, other, key); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, m); !got.Status.Active() {
		t.Fatal("the cache is not outdated")
	}
	wantRefusal(t, "of an incident that is active in the cache alone", remind(func(*incident.Reminder) {})(ctx, m), "incident")
	if got := mustGet(t, m); got.Status.Active() {
		t.Fatal("the cache has an active incident")
	}
	if err := reopen(ctx, other, key); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, m); got.Status.Active() {
		t.Fatal("the cache is not outdated")
	}
	if err := remind(func(*incident.Reminder) {})(ctx, m); err != nil {
		t.Errorf("of an incident that is closed in the cache alone: %v", err)
	}
}

// While other processes write to the incident all the time, a reminder is set nonetheless.
func TestRemind_amongWriters(t *testing.T) {
	ctx := t.Context()
	for _, conflicts := range []int{1, 3, 1000} {
		store := &remote{Store: memory.New()}
		m, other := remoteManager(t, store, incident.Options{}), remoteManager(t, store.Store, incident.Options{})
		if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
			t.Fatal(err)
		}
		status := incident.StatusOpen
		n := 0
		store.before = func() {
			if n++; n > conflicts {
				return
			}
			status = incident.StatusOpen + incident.StatusWarning - status
			if _, err := other.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status}); err != nil {
				t.Error(err)
			}
		}
		if err := remind(func(*incident.Reminder) {})(ctx, m); err != nil {
			t.Errorf("with %d conflicts: %v", conflicts, err)
		}
		if all := mustReminders(t, m, key); len(all) != 1 || all[0].Status != status {
			t.Errorf("with %d conflicts the reminders are %+v, want the status %s", conflicts, all, status)
		}
		if got := m.Stats().Conflicts; got != uint64(min(conflicts, 4)) {
			t.Errorf("%d conflicts are counted, want %d", got, min(conflicts, 4))
		}
	}
	store := &remote{Store: memory.New()}
	m, other := remoteManager(t, store, incident.Options{}), remoteManager(t, store.Store, incident.Options{})
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	store.before = sync.OnceFunc(func() {
		if err := closeIncident(ctx, other, key); err != nil {
			t.Error(err)
		}
	})
	wantRefusal(t, "closed meanwhile", remind(func(*incident.Reminder) {})(ctx, m), "incident")
	if all := mustReminders(t, m, key); len(all) != 0 {
		t.Errorf("a closed incident has %+v", all)
	}
}

// disturbedStore fails transactions because of other writers.
type disturbedStore struct {
	*remote
	disturbances int // that are left
}

func (s *disturbedStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if s.disturbances--; s.disturbances >= 0 {
		return fmt.Errorf("commit: %w", disturbed{incident.ErrUnavailable})
	}
	return s.remote.InTx(ctx, fn)
}

// The transaction in which a reminder is set among many writers begins again if they are in its way.
func TestRemind_disturbedTransaction(t *testing.T) {
	ctx := t.Context()
	store := &disturbedStore{remote: &remote{Store: memory.New()}, disturbances: 2}
	m, other := remoteManager(t, store, incident.Options{}), remoteManager(t, store.Store, incident.Options{})
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	status := incident.StatusOpen
	store.before = func() {
		status = incident.StatusOpen + incident.StatusWarning - status
		if _, err := other.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status}); err != nil {
			t.Error(err)
		}
	}
	if err := remind(func(*incident.Reminder) {})(ctx, m); err != nil {
		t.Error(err)
	}
	if all := mustReminders(t, m, key); len(all) != 1 || store.disturbances >= 0 {
		t.Errorf("the reminders are %+v, and %d disturbances are left, want one and none", all, store.disturbances)
	}
}

// After an unknown outcome, the repetition changes nothing if the reminder was set.
func TestRemind_unknownOutcome(t *testing.T) {
	ctx := t.Context()
	store := &remote{Store: memory.New()}
	m := remoteManager(t, store, incident.Options{})
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	store.after = func(bool, error) error { return incident.ErrUnknownOutcome }
	if err := remind(func(*incident.Reminder) {})(ctx, m); !errors.Is(err, incident.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	first := mustReminders(t, m, key)
	store.after = nil
	set := first[0]
	if err := m.Remind(ctx, key, incident.Reminder{Name: set.Name, At: set.At}); err != nil {
		t.Fatal(err)
	}
	if again := mustReminders(t, m, key); len(again) != 1 || again[0] != set {
		t.Errorf("after the repetition the reminders are %+v, want %+v", again, first)
	}
}

// While writers close and reopen an incident, it has no reminder of the time before a close.
func TestRemind_raceWithClose(t *testing.T) {
	ctx := t.Context()
	store := &remote{Store: memory.New()}
	m, other := remoteManager(t, store, incident.Options{}), remoteManager(t, store, incident.Options{})
	if err := create(func(*incident.NewIncident) {})(ctx, m); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		var setters sync.WaitGroup
		for _, m := range []incident.Manager{m, other} {
			for range 2 {
				setters.Go(func() {
					if err := remind(func(*incident.Reminder) {})(ctx, m); err != nil && !errors.Is(err, incident.ErrInvalid) {
						t.Error(err)
					}
				})
			}
		}
		if err := closeIncident(ctx, m, key); err != nil {
			t.Fatal(err)
		}
		if all := mustReminders(t, m, key); len(all) != 0 {
			t.Fatalf("after the incident was closed it has %+v", all)
		}
		setters.Wait()
		wantRefusal(t, "of a closed incident", remind(func(*incident.Reminder) {})(ctx, other), "incident")
		if all := mustReminders(t, m, key); len(all) != 0 {
			t.Fatalf("a closed incident has %+v", all)
		}
		if err := reopen(ctx, other, key); err != nil {
			t.Fatal(err)
		}
	}
}
