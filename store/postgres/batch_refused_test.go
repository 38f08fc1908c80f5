package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// A creation that the database refuses does not fail the others of its batch. After a batch that took
// too long, its outcome is unknown: the batch may have written it.
func TestStore_batchRefused(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	s.Pool().MustExec(`
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'Bad' THEN RAISE EXCEPTION 'bad' USING ERRCODE = '22000'; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON incident FOR EACH ROW EXECUTE FUNCTION refuse()`)
	orgs := manyOrgs(4)
	mustExist(t, m, orgs...)
	all := downIn(3, orgs...)
	for i := range all {
		if i%5 == 0 {
			all[i].Title = "Bad"
		}
	}
	written := map[incident.OrganizationID]int{}
	slow := 0
	for rounds := 1; slow == rounds-1 && rounds <= 5; rounds++ {
		_, errs := together(t, s, m, all...)
		isSlow := false
		for i, err := range errs {
			isBad, isUnknown := i%5 == 0, errors.Is(err, incident.ErrUnknownOutcome)
			if isBad && !isUnknown && !errors.Is(err, incident.ErrInvalid) || !isBad && err != nil {
				t.Errorf("creation %d of %q = %v", i, all[i].Title, err)
			}
			isSlow = isSlow || isBad && isUnknown
			if !isBad {
				written[all[i].OrganizationID]++
			}
		}
		if isSlow {
			slow++
		}
	}
	if slow == 5 {
		t.Error("no refusal was known in five rounds")
	}
	for _, org := range orgs {
		checkOrgs(t, s, m, 1+written[org], org)
	}
}

// A database that refuses statements for several organizations is not asked again, once the store
// knows. A batch that takes too long to be refused teaches nothing.
func TestStore_batchUnsupported(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	s.Pool().MustExec(`
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_query() LIKE '%SKIP LOCKED%' THEN
		PERFORM nextval('refusals');
		RAISE EXCEPTION 'several shards' USING ERRCODE = 'feature_not_supported';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER refuse AFTER INSERT ON incident EXECUTE FUNCTION refuse()`)
	orgs := manyOrgs(4)
	mustExist(t, m, orgs...)
	refusals := func() (n int) {
		t.Helper()
		awaitQuiet(t, s.Pool())
		mustDo(t, s.Pool().Get(&n, "SELECT coalesce(pg_sequence_last_value('refusals'), 0)"))
		return n
	}
	before := 0
	for deadline := time.Now().Add(time.Minute); !s.KnowsApart(); before++ {
		if time.Now().After(deadline) {
			t.Fatalf("after %d batches the store does not know", before)
		}
		_, errs := together(t, s, m, downIn(1, orgs...)...)
		wantNone(t, errs)
	}
	refused := refusals()
	if refused == 0 {
		t.Error("no batch was refused")
	}
	const rounds = 10
	for range rounds {
		var all sync.WaitGroup
		for _, n := range downIn(4, orgs...) {
			all.Go(func() {
				if err := only(m.Create(t.Context(), n)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	checkOrgs(t, s, m, 1+before+4*rounds, orgs...)
	if n := refusals(); n != refused {
		t.Errorf("%d batches were refused, want the first %d alone", n, refused)
	}
}
