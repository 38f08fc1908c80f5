package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

const serializable = "&default_transaction_isolation=serializable"

// refuseSQL refuses each write that is not READ COMMITTED, as if other writers were always faster. The
// sequence counts the refusals, because a rollback does not undo it.
const refuseSQL = `
CREATE SEQUENCE refusals MINVALUE 0;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		PERFORM nextval('refusals');
		RAISE 'could not serialize access' USING ERRCODE = 'serialization_failure';
	END IF;
	RETURN NULL;
END $$;
DO $$ DECLARE t text; BEGIN
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'incident%' LOOP
		EXECUTE format('CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON %I EXECUTE FUNCTION refuse()', t);
	END LOOP;
END $$`

// newRefusing returns a store whose writes lose against others until they are READ COMMITTED.
func newRefusing(t *testing.T) *lossy {
	t.Helper()
	url := newTables(t)
	l := &lossy{pool: mustOpen(t, url, 4), proxy: pgtest.NewProxy(t, url)}
	l.pool.MustExec(refuseSQL)
	l.store = mustNew(t, l.pool, nil)
	l.past = mustManager(t, l.store)
	l.proxied = mustOpen(t, l.proxy.URL()+serializable, 2)
	l.through = mustManager(t, mustNew(t, l.proxied, nil))
	return l
}

// refusals returns how many statements were refused since the last call.
func refusals(t *testing.T, pool *sqlx.DB) (n int) {
	t.Helper()
	if err := pool.Get(&n, "SELECT last_value FROM refusals"); err != nil {
		t.Fatal(err)
	}
	pool.MustExec("SELECT setval('refusals', 0)")
	return n
}

// A write that loses against other writers each time succeeds after few repetitions, and is written
// once, also if replies of its last attempt are lost.
func TestStore_losesOften(t *testing.T) {
	t.Parallel()
	lossies := lossiesOf(t, newRefusing)
	for i, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			l := lossies(t)
			_, after := traces(t, w)
			key := l.prepare(t, w)
			refusals(t, l.pool)
			err := w.call(t.Context(), l.through, key)
			checkTrace(t, trace(t, l.past), "", after, err)
			want := postgres.MaxLosses
			if w.name == "InTx" { // is READ COMMITTED from the beginning
				want = 0
			}
			if n := refusals(t, l.pool); n != want {
				t.Errorf("the write lost %d times, want %d", n, want)
			}
			checkLostReply(t, l, w, cuts(i))
		})
	}
}

// slowSQL has each commit of a change take 20 ms, in which it holds its locks, as on a slow disk.
const slowSQL = `
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON incident DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON incident_seen DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`

// However many writers of two processes change the same rows, each call succeeds after a bounded
// number of writes by others.
func TestStore_hotIncident(t *testing.T) {
	t.Parallel()
	const writers, calls, maxRounds = 16, 16, 8
	for name, call := range map[string]func(ctx context.Context, m incident.Manager, key incident.Key, tag string) error{
		"Comment": func(ctx context.Context, m incident.Manager, key incident.Key, tag string) error {
			return only(m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: tag}))
		},
		"Assign": func(ctx context.Context, m incident.Manager, key incident.Key, tag string) error {
			return result(m.Assign(ctx, key, incident.Assignment{Assignee: incident.UserID(tag), Comment: tag}))
		},
		"MarkSeen": func(ctx context.Context, m incident.Manager, key incident.Key, _ string) error {
			return only(m.MarkSeen(ctx, key, "ada"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := newTables(t)
			mustOpen(t, url, 1).MustExec(slowSQL)
			a := mustManager(t, mustNew(t, mustOpen(t, url+serializable, writers/2), nil))
			b := mustManager(t, mustNew(t, mustOpen(t, url+serializable, writers/2), nil))
			key := mustBegin(t, a)
			before := mustLog(t, a, key)
			var all sync.WaitGroup
			var done, most atomic.Int64
			for writer := range writers {
				m := []incident.Manager{a, b}[writer%2]
				all.Go(func() {
					for i := range calls {
						began := done.Load()
						if err := call(t.Context(), m, key, fmt.Sprint(writer, "-", i)); err != nil {
							t.Error(err)
							continue
						}
						for n := done.Add(1) - began; n > most.Load(); {
							most.Store(n)
						}
					}
				})
			}
			all.Wait()
			t.Logf("a call ended after at most %d others of %d", most.Load(), done.Load())
			if bound := int64(writers * maxRounds); most.Load() > bound {
				t.Errorf("a call ended only after %d others, want at most %d", most.Load(), bound)
			}
			if name == "MarkSeen" {
				return
			}
			once := map[string]int{}
			for _, activity := range mustLog(t, a, key)[len(before):] {
				once[activity.Comment]++
			}
			for tag, n := range once {
				if n != 1 {
					t.Errorf("%s was written %d times", tag, n)
				}
			}
			if len(once) != writers*calls {
				t.Errorf("%d calls have an activity, want %d", len(once), writers*calls)
			}
		})
	}
}

// mustLog returns all activities of an incident.
func mustLog(t *testing.T, m incident.Manager, key incident.Key) (all []incident.Activity) {
	t.Helper()
	for f := (incident.ActivityFilter{Limit: incident.MaxPageSize}); ; {
		page, err := m.Activities(t.Context(), key, f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Activities...)
		if page.Next == "" {
			return all
		}
		f.Cursor = page.Next
	}
}
