package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// gateSQL has every statement that inserts an incident wait for the advisory lock 1.
const gateSQL = `
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NULL;
END $$;
CREATE TRIGGER wait_at_gate AFTER INSERT ON incident EXECUTE FUNCTION wait_at_gate()`

// closeGate closes the gate until it is opened.
func closeGate(t *testing.T, pool *sqlx.DB) (open func()) {
	t.Helper()
	tx, err := pool.Beginx()
	mustDo(t, err)
	tx.MustExec("SELECT pg_advisory_xact_lock(1)")
	open = sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(open)
	return open
}

// atGate is a condition on pg_stat_activity: a statement waits at the gate.
const atGate = `datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`

func countAtGate(t *testing.T, pool *sqlx.DB) (n int) {
	t.Helper()
	mustDo(t, pool.Get(&n, "SELECT count(*) FROM pg_stat_activity WHERE "+atGate))
	return n
}

// createAtGate creates incidents in batches that wait at the gate until act has ended.
func createAtGate(t *testing.T, act func(admin *sqlx.DB)) {
	t.Helper()
	s, url := newStore(t)
	admin := mustOpen(t, url, 2) // the creations may take all connections of the store
	m := mustManager(t, s)
	orgs := manyOrgs(6)
	mustExist(t, m, orgs...)
	admin.MustExec(gateSQL)
	open := closeGate(t, admin)
	all := downIn(3, orgs...)
	errs := make(chan error, len(all))
	waiting, release := s.HoldLanes()
	for _, n := range all {
		go func() { errs <- only(m.Create(t.Context(), n)) }()
	}
	eventually(t, "the creations wait", func() bool { return waiting() == len(all) })
	release()
	act(admin)
	open()
	for range all {
		if err := receive(t, errs); err != nil {
			t.Error(err)
		}
	}
	checkOrgs(t, s, m, 4, orgs...)
}

// The members of a batch whose connection ends go alone, and are written once.
func TestStore_batchKilled(t *testing.T) {
	t.Parallel()
	createAtGate(t, func(admin *sqlx.DB) {
		eventually(t, "a batch waits", func() bool { return countAtGate(t, admin) > 0 })
		admin.MustExec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + atGate)
	})
}

// A batch that takes too long is cancelled, and its members go alone.
func TestStore_batchTakesTooLong(t *testing.T) {
	t.Parallel()
	createAtGate(t, func(admin *sqlx.DB) {
		eventually(t, "the members wait", func() bool { return countAtGate(t, admin) >= 6 })
	})
}

// A member whose context ends leaves its batch, and the others are written.
func TestStore_batchMemberGivesUp(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(6)
	mustExist(t, m, orgs...)
	s.Pool().MustExec(gateSQL)
	open := closeGate(t, s.Pool())
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error, len(orgs)), make(chan error, len(orgs))
	waiting, release := s.HoldLanes()
	for i, n := range downIn(1, orgs...) {
		go func() {
			if i%3 == 0 {
				left <- only(m.Create(ctx, n))
			} else {
				stayed <- only(m.Create(t.Context(), n))
			}
		}()
	}
	eventually(t, "the creations wait", func() bool { return waiting() == len(orgs) })
	release()
	eventually(t, "a batch waits", func() bool { return countAtGate(t, s.Pool()) > 0 })
	cancel()
	for range 2 {
		if err := receive(t, left); !errors.Is(err, context.Canceled) {
			t.Errorf("a creation that gave up = %v", err)
		}
	}
	open()
	for range 4 {
		if err := receive(t, stayed); err != nil {
			t.Errorf("a creation beside one that gave up = %v", err)
		}
	}
}

// A creation that gives up before its batch began is not written, and known not to be.
func TestStore_batchMemberLeaves(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(4)
	mustExist(t, m, orgs...)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, len(orgs))
	waiting, release := s.HoldLanes()
	for _, n := range downIn(1, orgs...) {
		go func() { errs <- only(m.Create(ctx, n)) }()
	}
	eventually(t, "the creations wait", func() bool { return waiting() == len(orgs) })
	cancel()
	for range orgs {
		if err := receive(t, errs); !errors.Is(err, context.Canceled) || errors.Is(err, incident.ErrUnknownOutcome) {
			t.Errorf("a creation that gave up = %v", err)
		}
	}
	release()
	if n := waiting(); n != 0 {
		t.Errorf("%d creations wait", n)
	}
	checkOrgs(t, s, m, 1, orgs...)
}

// Creations in batches of several organizations are written once each, whichever request or reply
// is lost.
func TestStore_lostReplyOfBatch(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	through := mustNew(t, l.proxied, nil)
	m := mustManager(t, through)
	orgs := manyOrgs(6)
	for n := 1; n <= 12; n++ {
		for _, fault := range []pgtest.Fault{pgtest.LoseReply, pgtest.LoseRequest} {
			l.empty(t)
			mustExist(t, m, orgs...)
			l.proxy.Do(fault, []pgtest.Cut{pgtest.CutFIN, pgtest.CutRST}[n%2], n, 1)
			results, errs := together(t, through, m, downIn(2, orgs...)...)
			l.proxy.Heal()
			wantNone(t, errs)
			for i, r := range results {
				if got, err := l.past.Get(t.Context(), r.Key()); err != nil || got.Title != r.Title {
					t.Errorf("creation %d made %s with the title %q, %v, want %q", i, r.Key(), got.Title, err, r.Title)
				}
			}
			checkOrgs(t, l.store, l.past, 3, orgs...)
			if t.Failed() {
				t.Fatalf("fault %d at round trip %d", fault, n)
			}
		}
	}
}

// newLossyBatch returns a lossy store that has written a batch for n organizations, so that its
// statement is prepared.
func newLossyBatch(t *testing.T, n int) (l *lossy, through *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
	t.Helper()
	l = newLossy(t)
	through = mustNew(t, l.proxied, nil)
	m, orgs = mustManager(t, through), manyOrgs(n)
	mustExist(t, m, orgs...)
	_, errs := together(t, through, m, downIn(1, orgs...)...)
	wantNone(t, errs)
	return l, through, m, orgs
}

// Nor does a refusal of the repetitions of a batch whose reply was lost make any of its creations fail.
func TestStore_batchRefusedAfterLostReply(t *testing.T) {
	t.Parallel()
	l, through, m, orgs := newLossyBatch(t, 4)
	l.pool.MustExec(`
CREATE SEQUENCE attempts;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF nextval('attempts') BETWEEN 2 AND 5 THEN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON incident_organization FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
	l.proxy.Do(pgtest.LoseReply, pgtest.CutFIN, 1, 1)
	_, errs := together(t, through, m, downIn(1, orgs...)...)
	l.proxy.Heal()
	wantNone(t, errs)
	checkOrgs(t, l.store, l.past, 3, orgs...)
}

// If the server cannot be reached after it has written a batch, no member knows the outcome.
func TestStore_unreachableAfterBatch(t *testing.T) {
	t.Parallel()
	l, through, m, orgs := newLossyBatch(t, 6)
	isWritten := false
	for n := 1; n <= 4 && !isWritten; n++ { // the first round trips may prepare the statement
		l.empty(t)
		mustExist(t, l.past, orgs...)
		l.proxy.Before(n, l.proxy.Refuse)
		_, errs := together(t, through, m, downIn(1, orgs[:4]...)...)
		l.proxy.Heal()
		for i, err := range errs {
			page, listErr := l.past.List(t.Context(), incident.IncidentFilter{OrganizationID: orgs[i]})
			mustDo(t, listErr)
			isWritten = isWritten || len(page.Incidents) == 2
			if len(page.Incidents) == 2 && err != nil && !errors.Is(err, incident.ErrUnknownOutcome) {
				t.Errorf("%s was written; the creation ended with %v", page.Incidents[0].Key(), err)
			}
		}
	}
	if !isWritten {
		t.Error("no batch was written")
	}
}

// A batch with a silent connection stops no creation of another organization, and its members
// are written.
func TestStore_silentBatch(t *testing.T) {
	t.Parallel()
	s := newMuted(t, nil)
	orgs := manyOrgs(8)
	mustExist(t, s.m, orgs...)
	_, errs := together(t, s.store, s.m, downIn(1, orgs...)...) // prepares the statement
	wantNone(t, errs)
	s.fill(t)
	defer s.proxy.Heal()
	waiting, release := s.store.HoldLanes()
	members, others := make(chan error, 4), make(chan error, 40)
	for _, n := range downIn(1, orgs[:4]...) {
		go func() { members <- only(s.m.Create(context.Background(), n)) }()
	}
	eventually(t, "the creations wait", func() bool { return waiting() == cap(members) })
	s.silence(1, 1)
	trips := s.proxy.RoundTrips()
	release()
	eventually(t, "the batch is silent", func() bool { return s.proxy.RoundTrips() > trips })
	for _, n := range downIn(cap(others)/4, orgs[4:]...) {
		go func() { others <- only(s.m.Create(context.Background(), n)) }()
	}
	for range cap(others) {
		if err := receive(t, others); err != nil {
			t.Errorf("Create() beside a silent batch = %v", err)
		}
	}
	for range cap(members) {
		if err := receive(t, members); err != nil {
			t.Errorf("Create() in a silent batch = %v", err)
		}
	}
	checkOrgs(t, mustNew(t, s.past, nil), mustManager(t, mustNew(t, s.past, nil)), 3, orgs[:4]...)
}

// Two processes whose batches meet in the same organizations write each creation once.
func TestStore_batchesOfTwoProcesses(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	other := mustNew(t, mustOpen(t, url, 16), nil)
	orgs := manyOrgs(5)
	managers := []incident.Manager{mustManager(t, s), mustManager(t, other)}
	const callers, rounds = 32, 15
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range rounds {
				_, err := managers[i%2].Create(t.Context(), incident.NewIncident{
					OrganizationID: orgs[(i*7+j)%len(orgs)], Title: "Down", Projects: []incident.ProjectID{"api"},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	checkOrgs(t, s, managers[0], callers*rounds/len(orgs), orgs...)
}

// Locked organizations whose creations fill all lanes hold up no other for long.
func TestStore_lanesOfLockedOrganizations(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	orgs := manyOrgs(6)
	mustExist(t, m, orgs...)
	locked := make(chan error, len(orgs)-1)
	var releases []func()
	for _, org := range orgs[1:] {
		releases = append(releases, lockOrg(t, s, org))
		go func() {
			locked <- only(m.Create(t.Context(), downIn(1, org)[0]))
		}()
	}
	eventually(t, "they have all lanes", func() bool {
		var n int
		mustDo(t, s.Pool().Get(&n, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"))
		return n >= 4
	})
	for _, n := range downIn(3, orgs[0]) {
		ctx, cancel := context.WithTimeout(t.Context(), generous)
		if err := only(m.Create(ctx, n)); err != nil {
			t.Errorf("Create() beside locked organizations = %v", err)
		}
		cancel()
	}
	for _, release := range releases {
		release()
	}
	for range cap(locked) {
		if err := receive(t, locked); err != nil {
			t.Error(err)
		}
	}
	checkOrgs(t, s, m, 4, orgs[0])
	checkOrgs(t, s, m, 2, orgs[1:]...)
}
