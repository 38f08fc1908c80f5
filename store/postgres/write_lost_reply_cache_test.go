package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// pastFeed is a store behind a proxy. Its feed bypasses the proxy, so that all round trips
// of the proxy belong to calls.
type pastFeed struct {
	*postgres.Store
	feed *postgres.Store
}

func (s *pastFeed) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	return s.feed.Changes(ctx, since)
}

// slotsOfWrites are the slots that the writes claim, release or leave alone.
func slotsOfWrites() (slots []incident.Slot) {
	for _, f := range []incident.Firing{firing, with(firing, "errors"), with(firing, "linked")} {
		for _, p := range []incident.ProjectID{f.ProjectID, "db", "web"} {
			s := f.Slot
			s.ProjectID = p
			slots = append(slots, s)
		}
	}
	return slots
}

// slotWrites are the writes that change cached slots.
func slotWrites() []write {
	all := slices.DeleteFunc(writes(), func(w write) bool {
		return !slices.Contains([]string{"Create", "Fire that opens", "Fire that joins", "Resolve", "UpdateStatus", "LinkProject", "UnlinkProject", "InTx"}, w.name)
	})
	return append(all,
		write{"Create in slots", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Create(ctx, incident.NewIncident{
				OrganizationID: "acme", Title: "Down", AlertRuleID: "linked", QueryID: firing.QueryID,
				Projects: []incident.ProjectID{firing.ProjectID, "db"}, DetectionUUID: uuid.UUID{2},
			}))
		}},
		write{"reopening", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			if err := result(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})); err != nil {
				return err
			}
			if err := readCached(ctx, m); err != nil {
				return err
			}
			return result(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen}))
		}},
		write{"a transaction in slots", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				_, err1 := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
				_, err2 := tx.Fire(ctx, with(firing, "errors"))
				return errors.Join(err1, err2)
			})
		}},
	)
}

// readCached reads, through the cache, all that the writes may change.
func readCached(ctx context.Context, m incident.Manager) error {
	for range 2 {
		for _, s := range slotsOfWrites() {
			if _, _, err := m.Active(ctx, s); err != nil {
				return err
			}
		}
		for n := int64(1); n < 4; n++ {
			_, err := m.Get(ctx, incident.Key{OrganizationID: "acme", Identifier: n})
			if err != nil && !errors.Is(err, incident.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// checkCache checks that a Manager's cached reads are not older than the earlier state of
// the database.
func checkCache(t *testing.T, m, past incident.Manager) {
	t.Helper()
	type answer struct {
		inc incident.Incident
		ok  bool
	}
	slots := slotsOfWrites()
	held, incidents := make([]answer, len(slots)), map[incident.Key]int64{}
	for i, s := range slots {
		inc, ok, err := past.Active(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		held[i] = answer{inc, ok}
	}
	page, err := past.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, inc := range page.Incidents {
		incidents[inc.Key()] = inc.Version
	}
	for range 3 {
		for i, s := range slots {
			inc, ok, err := m.Active(t.Context(), s)
			if want := held[i]; err != nil || ok != want.ok || inc.Identifier != want.inc.Identifier || inc.Version < want.inc.Version {
				t.Errorf("the slot of %q and %q holds %s at version %d, %t, %v; the database has %s at version %d, %t",
					s.AlertRuleID, s.ProjectID, inc.Key(), inc.Version, ok, err, want.inc.Key(), want.inc.Version, want.ok)
			}
		}
		for key, version := range incidents {
			if inc, err := m.Get(t.Context(), key); err != nil || inc.Version < version {
				t.Errorf("%s has version %d, %v; the database has %d", key, inc.Version, err, version)
			}
		}
	}
}

// awaitFeed waits until the cache is served.
func awaitFeed(t *testing.T, m incident.Manager) {
	t.Helper()
	for start := time.Now(); m.Stats().Feed.State != incident.FeedFollowing; time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("the feed is not followed")
		}
	}
}

// Whichever reply to a write is lost, and whether or not its outcome is found, the Manager
// serves nothing older from its cache afterwards.
func TestStore_lostReplyCache(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for mode, following := range []bool{false, true} {
		for i, w := range slotWrites() {
			counts := []int{1, 1000}
			if !long { // each write has one of them alone and the other following
				counts = counts[(i+mode)%2:][:1]
			}
			name := w.name + ", alone"
			if following {
				name = w.name + ", following"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := lossies(t)
				store := mustNew(t, mustOpen(t, l.proxy.URL(), 2), &postgres.Options{SingleProcess: !following})
				for _, count := range counts {
					for n, lost := 1, 1; lost > 0 && n < 9; n++ {
						l.empty(t)
						key := mustBegin(t, l.past)
						// A new cache, because the tables were emptied.
						m := mustManager(t, &pastFeed{store, l.store})
						ctx, stop := context.WithCancel(t.Context())
						ended := make(chan error, 1)
						go func() { ended <- m.Run(ctx) }()
						if following {
							awaitFeed(t, m)
						}
						if err := readCached(t.Context(), m); err != nil {
							t.Fatal(err)
						}
						l.proxy.Do(pgtest.LoseReply, pgtest.CutFIN, n, count)
						err := w.call(t.Context(), m, key)
						lost = l.proxy.Heal()
						dropIdle(t, store.Pool())
						t.Logf("%d replies lost from round trip %d on: %d, %v", count, n, lost, err)
						checkCache(t, m, l.past)
						stop()
						if err := <-ended; err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
}

// awaitLocked waits until a write waits for a lock.
func (l *lossy) awaitLocked(t *testing.T) {
	t.Helper()
	const waitingSQL = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		n := 0
		if err := l.pool.Get(&n, waitingSQL); err != nil || time.Now().After(deadline) {
			t.Errorf("no write waits for a lock: %v", err)
			return
		}
		if n > 0 {
			return
		}
	}
}

// A write that waits for a lock is committed when the lock is released, long after its
// caller got ErrUnknownOutcome. From then on nothing older is served.
func TestStore_lateCommitCache(t *testing.T) {
	t.Parallel()
	const lockSQL = `SELECT 1 FROM incident_organization FOR UPDATE; SELECT 1 FROM incident FOR UPDATE`
	for _, w := range slotWrites() {
		if w.name == "InTx" || w.name == "Create" || w.name == "a transaction in slots" || w.name == "reopening" {
			continue // they wait before they write, or begin with a write that waits
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			l := newLossy(t)
			key := mustBegin(t, l.past)
			pool := mustOpen(t, l.proxy.URL(), 2)
			m := mustManager(t, mustNew(t, pool, &postgres.Options{SingleProcess: true}))
			if err := readCached(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			lock := l.pool.MustBegin()
			lock.MustExec(lockSQL)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var cutting sync.WaitGroup
			defer cutting.Wait()
			cutting.Go(func() {
				l.awaitLocked(t)
				l.proxy.Refuse() // the cancel request is lost too
				time.Sleep(time.Second)
				cancel()
			})
			if err := w.call(ctx, m, key); !errors.Is(err, incident.ErrUnknownOutcome) {
				t.Fatalf("the call = %v, want ErrUnknownOutcome", err)
			}
			l.proxy.Heal()
			dropIdle(t, pool)
			before := trace(t, l.past)
			for range 2 {
				if err := readCached(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1200 * time.Millisecond)
			}
			if err := lock.Commit(); err != nil {
				t.Fatal(err)
			}
			for start := time.Now(); trace(t, l.past) == before; time.Sleep(time.Millisecond) {
				if time.Since(start) > time.Minute {
					t.Fatal("the write that waited is not committed")
				}
			}
			checkCache(t, m, l.past)
		})
	}
}
