package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// unreplicated is a store on a server whose synchronous standby is absent, so that no
// commit ends. A second pool does not wait for the standby.
type unreplicated struct {
	pool          *sqlx.DB // does not wait
	store, local  *postgres.Store
	waiting, past incident.Manager
}

func newUnreplicated(t *testing.T) *unreplicated {
	t.Helper()
	server, err := pgtest.StartOwn("synchronous_standby_names = 'absent'")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	u := &unreplicated{pool: mustOpen(t, server.URL()+"&synchronous_commit=local", 4)}
	mustMigrate(t, u.pool, nil)
	u.local = mustNew(t, u.pool, nil)
	u.past = mustManager(t, u.local)
	u.store = mustNew(t, mustOpen(t, server.URL(), 4), &postgres.Options{SingleProcess: true})
	u.waiting = mustManager(t, u.store)
	return u
}

// waiters runs a function of the server on each backend whose commit waits, and returns
// their number.
func (u *unreplicated) waiters(t *testing.T, function string) (n int) {
	t.Helper()
	err := u.pool.Get(&n, "SELECT count("+function+"(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	if err != nil {
		t.Error(err)
	}
	return n
}

// endWaiters ends the backends of earlier calls, which may wait, and hold locks, for longer than
// their calls. A backend may begin to wait meanwhile.
func (u *unreplicated) endWaiters(t *testing.T) {
	t.Helper()
	mustWait(t, func() (bool, error) {
		u.waiters(t, "pg_terminate_backend")
		if u.store.Pool().Stats().InUse > 0 {
			return false, nil
		}
		return isQuiet(u.pool)
	})
}

// wantUnknown ends the context of a call while its commit waits for the standby.
func (u *unreplicated) wantUnknown(t *testing.T, what string, call func(ctx context.Context) error) {
	t.Helper()
	u.endWaiters(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	mustWait(t, func() (bool, error) { return u.waiters(t, "abs") > 0 || len(done) > 0, nil })
	cancel()
	if err := <-done; !errors.Is(err, incident.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("%s = %v, want ErrUnknownOutcome and the context's error", what, err)
	}
}

// A commit succeeds if its wait for the standby is cancelled, and may be lost with the
// server. A write whose context has ended by then does not succeed, and the Manager's
// cache remains correct.
func TestStore_contextEndsAtStandby(t *testing.T) {
	t.Parallel()
	u := newUnreplicated(t)
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			mustExec(t, u.pool, deleteAllSQL)
			key := mustBegin(t, u.past)
			before := trace(t, u.past)
			if got := trace(t, u.waiting); got != before { // fills the cache
				t.Fatalf("before the call the trace is\n%s\nwant\n%s", got, before)
			}
			u.wantUnknown(t, w.name, func(ctx context.Context) error { return w.call(ctx, u.waiting, key) })
			pgtest.AwaitIdle(t, u.store.Pool())
			u.endWaiters(t) // their commits may become visible later
			if got, want := trace(t, u.waiting), trace(t, u.past); got != want {
				t.Errorf("afterwards the Manager reads\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Creations that are written together do not succeed either, whether their batch is cancelled or ended.
func TestStore_batchAtStandby(t *testing.T) {
	t.Parallel()
	u := newUnreplicated(t)
	orgs := manyOrgs(6)
	for name, all := range map[string][]incident.NewIncident{
		"several organizations": downIn(2, orgs...),
		"one organization":      downIn(12, orgs[0]),
		"a group commit":        slices.Repeat([]incident.NewIncident{{OrganizationID: orgs[0], Title: "Down"}}, 12),
	} {
		for _, function := range []string{"abs", "pg_cancel_backend", "pg_terminate_backend"} {
			t.Run(name+" "+function, func(t *testing.T) {
				u.endWaiters(t)
				mustExec(t, u.pool, deleteAllSQL)
				mustExist(t, u.past, orgs...)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				errs := make(chan error, len(all))
				waiting, release := u.store.HoldLanes()
				for _, n := range all {
					go func() { errs <- only(u.waiting.Create(ctx, n)) }()
				}
				eventually(t, "the creations wait", func() bool { return waiting() >= len(all)-1 }) // the first of a group goes at once
				release()
				mustWait(t, func() (bool, error) { return u.waiters(t, function) > 0 || len(errs) > 0, nil })
				time.AfterFunc(time.Second, cancel) // the group begins within half a second
				unknown := 0
				for range all {
					err := receive(t, errs)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Create() = %v, want the context's error", err)
					}
					if errors.Is(err, incident.ErrUnknownOutcome) {
						unknown++
					}
				}
				pgtest.AwaitIdle(t, u.store.Pool())
				u.endWaiters(t)
				var written int
				mustDo(t, u.pool.Get(&written, "SELECT count(*) FROM incident WHERE title LIKE 'Down%'"))
				if written == 0 || written > unknown {
					t.Errorf("%d creations were written, %d ended with ErrUnknownOutcome", written, unknown)
				}
			})
		}
	}
}

// Neither do Settle and Replay.
func TestOutbox_contextEndsAtStandby(t *testing.T) {
	t.Parallel()
	u := newUnreplicated(t)
	key := mustBegin(t, u.past)
	claims, err := u.local.Claim(t.Context(), incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Hour})
	if err != nil || len(claims) != 1 {
		t.Fatalf("Claim() = %v, %v", claims, err)
	}
	u.wantUnknown(t, "Settle()", func(ctx context.Context) error {
		return only(u.store.Settle(ctx, []incident.Settlement{{Ticket: claims[0].Ticket, Outcome: incident.OutcomePark}}))
	})
	pgtest.AwaitIdle(t, u.store.Pool())
	u.wantUnknown(t, "Replay()", func(ctx context.Context) error { return only(u.store.Replay(ctx, parkedOf(key))) })
}

// parkedOf selects the parked notifications of an incident.
func parkedOf(key incident.Key) incident.ParkedQuery {
	return incident.ParkedQuery{OrganizationID: key.OrganizationID, Identifier: key.Identifier, Limit: 100}
}

// A wait that another session cancels is no success either: the call waits for the standby
// again, as long as its context lasts.
func TestStore_waitEndsAtStandby(t *testing.T) {
	t.Parallel()
	u := newUnreplicated(t)
	for _, function := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		for _, w := range writes() {
			t.Run(strings.ReplaceAll(function+" "+w.name, " ", "_"), func(t *testing.T) {
				u.endWaiters(t)
				mustExec(t, u.pool, deleteAllSQL)
				key := mustBegin(t, u.past)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- w.call(ctx, u.waiting, key) }()
				mustWait(t, func() (bool, error) { return u.waiters(t, function) > 0 || len(done) > 0, nil })
				time.AfterFunc(500*time.Millisecond, cancel)
				if err := <-done; !errors.Is(err, incident.ErrUnknownOutcome) {
					t.Errorf("%s = %v, want ErrUnknownOutcome", w.name, err)
				}
			})
		}
	}
}

// A waiting call succeeds once the standby is back.
func TestStore_standbyComesBack(t *testing.T) {
	t.Parallel()
	u := newUnreplicated(t)
	key := mustBegin(t, u.past)
	done := make(chan error, 1)
	go func() { done <- only(u.waiting.Comment(context.Background(), key, comment)) }()
	mustWait(t, func() (bool, error) { return u.waiters(t, "abs") > 0 || len(done) > 0, nil })
	u.pool.MustExec("ALTER SYSTEM SET synchronous_standby_names = ''")
	u.pool.MustExec("SELECT pg_reload_conf()")
	if err := <-done; err != nil {
		t.Errorf("Comment() = %v", err)
	}
}
