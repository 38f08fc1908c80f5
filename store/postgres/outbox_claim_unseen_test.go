package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// newHeldStore returns a store whose claims wait between their snapshot and their first row while
// gate has the lock. A function now() that comes before the server's makes them wait. The plan is
// made before, because the planner calls the function, too.
func newHeldStore(t *testing.T, url string, to incident.NotifyTarget) (s *postgres.Store, gate *sqlx.Tx) {
	t.Helper()
	admin := mustOpen(t, url, 2)
	admin.MustExec(`CREATE SCHEMA held;
		CREATE FUNCTION held.now() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN pg_catalog.now();
		END $$`)
	s = mustNew(t, mustOpen(t, url+"&search_path=held,pg_catalog,public&plan_cache_mode=force_generic_plan", 1), nil)
	mustClaim(t, s, claimOf(to))
	gate = admin.MustBeginTx(t.Context(), nil)
	gate.MustExec("SELECT pg_advisory_xact_lock(1)")
	return s, gate
}

// awaitHeld waits until a claim of the held store waits.
func awaitHeld(t *testing.T, gate *sqlx.Tx) {
	t.Helper()
	const waitingSQL = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		n := 0
		if err := gate.GetContext(t.Context(), &n, waitingSQL); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the claim does not wait")
		}
	}
}

// A claim whose statement began before the activity was written returns the activity.
func TestStore_claimsActivityAfterSnapshot(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "mail"} {
		for _, types := range [][]incident.ActivityType{nil, {typeComment}} {
			t.Run(fmt.Sprintf("%q of %d types", name, len(types)), func(t *testing.T) {
				t.Parallel()
				claimAfterSnapshot(t, target(name, types...))
			})
		}
	}
}

func claimAfterSnapshot(t *testing.T, to incident.NotifyTarget) {
	s, url := newStore(t)
	held, gate := newHeldStore(t, url, to)
	inc := mustOpenIncident(t, s, "acme")
	all := []incident.NotifyTarget{target(to.Notifier)}
	mustAppend(t, s, inc.Key(), all, typeComment)
	type answer struct {
		claims []incident.Claim
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		claims, err := held.Claim(context.Background(), claimOf(to))
		answers <- answer{claims, err}
	}()
	awaitHeld(t, gate)
	first := mustClaim(t, s, claimOf(to))
	mustAppend(t, s, inc.Key(), all, typeStatus, typeComment, typeStatus)
	if len(first) != 1 {
		t.Fatalf("Claim = %+v, want activity 1", first)
	}
	mustSettle(t, s, incident.Settlement{Ticket: first[0].Ticket, Outcome: incident.OutcomeDelivered})
	if err := gate.Rollback(); err != nil {
		t.Fatal(err)
	}
	a := <-answers
	want := int64(2)
	if len(to.Types) > 0 {
		want = 3
	}
	if a.err != nil || len(a.claims) != 1 || a.claims[0].Sequence != want {
		t.Fatalf("Claim = %+v, %v, want activity %d", a.claims, a.err, want)
	}
	c := a.claims[0]
	if c.Activity.Sequence != want || c.Activity.Incident != inc.Key() || c.Key != inc.Key() || !c.More ||
		c.Attempt != 1 || c.Incident.Version != inc.Version || c.Now.IsZero() {
		t.Errorf("Claim = %+v, want activity %d of %s as any claim has it", c, want, inc.Key())
	}
	mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
	wantRest := map[int64][]int64{2: {3, 4}, 3: nil}[want]
	if got := mustDeliver(t, s, to); !slices.Equal(got, wantRest) {
		t.Errorf("then it got %v, want %v", got, wantRest)
	}
}
