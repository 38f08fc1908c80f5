//go:build unix

package postgres_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// ledgerSQL has the database write what a purge must not hide: the identifiers that were assigned,
// the deletions, and the activities.
const ledgerSQL = `
CREATE TABLE ledger_born (n bigserial, org text, id bigint);
CREATE TABLE ledger_gone (n bigserial PRIMARY KEY, org text, id bigint, at timestamptz);
CREATE TABLE ledger_activity (org text, id bigint, sequence bigint, uuid uuid);

CREATE FUNCTION ledger_born() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO ledger_born (org, id) VALUES (NEW.organization_id, NEW.identifier); RETURN NULL;
END $$;
CREATE FUNCTION ledger_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO ledger_gone (org, id, at) VALUES (OLD.organization_id, OLD.identifier, clock_timestamp()); RETURN NULL;
END $$;
CREATE FUNCTION ledger_activity() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO ledger_activity VALUES (NEW.organization_id, NEW.identifier, NEW.sequence, NEW.notification_uuid); RETURN NULL;
END $$;

CREATE TRIGGER ledger_born AFTER INSERT ON incident FOR EACH ROW EXECUTE FUNCTION ledger_born();
CREATE TRIGGER ledger_gone AFTER DELETE ON incident FOR EACH ROW EXECUTE FUNCTION ledger_gone();
CREATE TRIGGER ledger_activity AFTER INSERT ON incident_activity FOR EACH ROW
	WHEN (NEW.organization_id IN ('passing', 'called')) EXECUTE FUNCTION ledger_activity();`

// retentionMemory is how long the records of deletions are kept under load.
const retentionMemory = 300 * time.Millisecond

// load is a database with three processes: the first is behind a proxy, the second is stopped for a
// while, and the third deletes.
type load struct {
	proxy    *pgtest.Proxy
	pool     *sqlx.DB
	store    *postgres.Store
	inbox    inbox
	pipe     *os.File // the processes' end
	children [3]*child
	lines    [3][]retentionLine
	counts   [3]atomic.Pointer[retentionCounts] // the last of each process
	reads    atomic.Int64                       // of all processes so far
	reading  sync.WaitGroup
	stopped  atomic.Bool // the processes have ended

	mu   sync.Mutex                 // guards gone
	gone map[incident.Key]*deletion // by the ledger
}

// deletion is a moment: an incident was deleted after from, and every statement since until
// sees it.
type deletion struct{ from, until int64 } // nanoseconds since 1970

func newLoad(t *testing.T) *load {
	t.Helper()
	// A transaction of another test would keep the records of deletions.
	server, pool := startServer(t)
	url, s := server.URL(), mustNew(t, pool, nil)
	s.SetFeedMemory(retentionMemory)
	l := &load{proxy: pgtest.NewProxy(t, url), pool: mustOpen(t, url, 4), store: s, gone: map[incident.Key]*deletion{}}
	l.pool.MustExec(ledgerSQL)
	from, to, err := os.Pipe()
	mustDo(t, err, managertest.OpenTogether(t.Context(), mustManager(t, s)))
	l.pipe = to
	l.reading.Go(func() {
		defer from.Close()
		l.inbox.read(from)
	})
	for i, url := range []string{l.proxy.URL(), url, url} {
		work := retentionTask{Writers: []int{6, 5, 5}[i], Purges: i == 2, Memory: retentionMemory}
		c := startChildWith(t, task{URL: url, Number: i, Retains: &work}, to)
		l.children[i] = c
		l.counts[i].Store(&retentionCounts{})
		l.reading.Go(func() {
			for d := json.NewDecoder(c.stdout); ; {
				var line retentionLine
				if d.Decode(&line) != nil {
					return
				}
				switch s := line.Sighting; {
				case line.Counts != nil:
					l.counts[i].Store(line.Counts)
					continue
				case s != nil && (s.Kind == cachedRead || s.Kind == storedRead):
					l.reads.Add(1)
				}
				l.lines[i] = append(l.lines[i], line)
			}
		})
	}
	return l
}

// watch follows the deletions until ctx ends.
func (l *load) watch(ctx context.Context, t *testing.T) {
	last := int64(0)
	for ctx.Err() == nil {
		var rows []struct {
			N, ID, At int64
			Org       incident.OrganizationID
		}
		// Transactions of lower numbers may commit later.
		err := l.pool.SelectContext(ctx, &rows, `SELECT n, org, id, (extract(epoch FROM at) * 1000000)::bigint AS at
			FROM ledger_gone WHERE n > $1`, last-2000)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		now := time.Now().UnixNano()
		l.mu.Lock()
		for _, r := range rows {
			last = max(last, r.N)
			key := incident.Key{OrganizationID: r.Org, Identifier: r.ID}
			if l.gone[key] == nil {
				l.gone[key] = &deletion{from: r.At * 1000, until: now}
			}
		}
		l.mu.Unlock()
		pause := 5 * time.Millisecond
		if l.stopped.Load() {
			pause = 200 * time.Millisecond // nobody reads meanwhile
		}
		time.Sleep(pause)
	}
}

// deletions returns the number of deletions so far.
func (l *load) deletions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.gone)
}

// goOn lets the processes run for a while, and until enough more incidents were deleted.
func (l *load) goOn(t *testing.T, d time.Duration) {
	t.Helper()
	target := l.deletions() + 50
	time.Sleep(d)
	for deadline := time.Now().Add(2 * time.Minute); l.deletions() < target; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d incidents were deleted, and two minutes later no more", l.deletions())
		}
	}
}

// stand stops the second process until records of incidents that were deleted meanwhile are
// removed, for d at least. It may hold locks for which others wait, and is then stopped at another
// moment.
func (l *load) stand(t *testing.T, d time.Duration) {
	t.Helper()
	for range 10 {
		if l.standOnce(t, d) {
			return
		}
		l.goOn(t, 0)
	}
	t.Fatal("no records are removed while the process stands")
}

func (l *load) standOnce(t *testing.T, d time.Duration) bool {
	t.Helper()
	if pid := l.children[1].cmd.Process.Pid; pid > 1 {
		mustDo(t, syscall.Kill(pid, syscall.SIGSTOP))
		defer func() { mustDo(t, syscall.Kill(pid, syscall.SIGCONT)) }()
	}
	time.Sleep(d)
	var now string // a transaction that is later than the last answer of the feed
	mustDo(t, l.pool.Get(&now, `SELECT pg_current_xact_id()`))
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var removed bool
		mustDo(t, l.pool.Get(&removed, `SELECT coalesce(forgotten >= $1::xid8, false) FROM incident_schema`, now))
		if removed {
			return true
		}
	}
	return false
}

// Incidents are purged while three processes write, read from warm caches and deliver. The feed of
// the first is cut for a while, and the second is stopped until the records of deletions are
// removed. No incident is read from a cache later than a second after its deletion, nor from the
// store or written after it. No identifier is assigned again, and no notification is lost.
func TestRetention_underLoad(t *testing.T) {
	t.Parallel()
	rounds, pause := 1, 400*time.Millisecond
	if long {
		rounds, pause = 20, 3*time.Second
	}
	l := newLoad(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(ctx, t) })
	l.goOn(t, pause)
	for range rounds {
		l.proxy.Do(pgtest.Silence, 0, 1, 1_000_000)
		time.Sleep(3 * pause) // the server keeps the locks of the silent process
		l.proxy.Heal()
		l.goOn(t, pause)
		l.stand(t, 3*pause)
		l.goOn(t, pause)
	}
	l.awaitMeaning(t)
	l.stop(t)
	l.settle(t)
	cancel()
	watching.Wait()
	mustDo(t, l.pipe.Close())
	l.reading.Wait()
	l.judge(t)
}

// The numbers of reads and of hits of caches for a meaningful result.
const enoughRetentionReads, enoughHits = 1000, 500

// awaitMeaning waits until the processes have read enough, and the process that was stopped has
// noticed that it has missed deletions.
func (l *load) awaitMeaning(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		hits := uint64(0)
		for i := range l.counts {
			hits += l.counts[i].Load().Hits
		}
		reads, resets := l.reads.Load(), l.counts[1].Load().Resets
		if reads >= enoughRetentionReads && hits >= enoughHits && resets > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run shows nothing: %d reads, %d hits, %d resets", reads, hits, resets)
		}
	}
}

// stop ends the processes.
func (l *load) stop(t *testing.T) {
	t.Helper()
	for _, c := range l.children {
		mustDo(t, c.stdin.Close())
	}
	for _, c := range l.children {
		c.wait(t)
	}
	l.stopped.Store(true)
}

// reissueSQL plants a counter that goes back to a deleted incident, for three creations of ten.
const reissueSQL = `
CREATE FUNCTION reissue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE deleted bigint;
BEGIN
	IF random() < 0.3 THEN
		SELECT id INTO deleted FROM ledger_gone g WHERE org = NEW.organization_id AND NOT EXISTS (
			SELECT FROM incident WHERE organization_id = g.org AND identifier = g.id) LIMIT 1;
	END IF;
	NEW.incidents := coalesce(deleted,
		greatest(NEW.incidents, (SELECT max(id) + 1 FROM ledger_born WHERE org = NEW.organization_id)));
	RETURN NEW;
END $$;
CREATE TRIGGER reissue BEFORE UPDATE ON incident_organization FOR EACH ROW
	WHEN (NEW.organization_id IN ('passing', 'called')) EXECUTE FUNCTION reissue();`

// An identifier that is assigned again after its incident was deleted is found.
func TestRetention_underLoadReissued(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	l.pool.MustExec(reissueSQL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(ctx, t) })
	l.goOn(t, 0)
	l.stop(t)
	cancel()
	watching.Wait()
	mustDo(t, l.pipe.Close())
	l.reading.Wait()
	var v retentionVerdict
	l.judgeIdentifiers(t, &v)
	if v.Repeated == 0 || !v.isWrong() {
		t.Errorf("%+v: the identifiers that were assigned again are not found", v)
	}
	t.Logf("%d identifiers were assigned again", v.Repeated)
}

// settle delivers what is queued, and purges until nothing of the deleted incidents remains. It fails
// after a minute without progress.
func (l *load) settle(t *testing.T) {
	t.Helper()
	r := &retained{number: len(l.children)}
	m, err := incident.New(l.store, r.options(l.pipe))
	mustDo(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	least, deadline := int64(math.MaxInt64), time.Time{}
	for ; ; time.Sleep(10 * time.Millisecond) {
		for _, org := range []incident.OrganizationID{passingOrg, calledOrg} {
			purgeInHaste(t, m.(incident.RetentionManager), org)
		}
		backlog, err := l.store.Backlog(t.Context())
		mustDo(t, err)
		left := leftBehind(t, l.store)
		if backlog[""].Pending == 0 && len(left) == 0 {
			break
		}
		rest := backlog[""].Pending
		for _, rows := range left {
			rest += int64(rows)
		}
		if rest < least {
			least, deadline = rest, time.Now().Add(time.Minute)
		}
		if time.Now().After(deadline) {
			var open []string
			mustDo(t, l.pool.Select(&open, `SELECT concat_ws(' ', now() - xact_start, state, query) FROM pg_stat_activity
				WHERE coalesce(backend_xid, backend_xmin) IS NOT NULL AND pid <> pg_backend_pid()`))
			t.Fatalf("a minute without progress after the writes, %d notifications are queued, of deleted incidents remain %v, and these transactions are open: %q",
				backlog[""].Pending, left, open)
		}
	}
	if err := managertest.AuditPurged(t.Context(), m, l.store, passingOrg, calledOrg); err != nil {
		t.Error(err)
	}
}

// purgeInHaste purges what is due, in calls that end before they pause. A call without a limit pauses for
// four times as long as it works, and in small batches on a busy machine, since it spares other calls.
func purgeInHaste(t *testing.T, m incident.RetentionManager, org incident.OrganizationID) {
	t.Helper()
	p := incident.Purge{OrganizationID: org, ClosedBefore: time.Now().Add(-time.Hour), Limit: 10}
	for again := true; again; {
		done, err := m.Purge(t.Context(), p)
		mustDo(t, err)
		again = done.Incidents == p.Limit
	}
}

// leftBehind counts the rows that belong to no incident, by table, with the records of
// deletions.
func leftBehind(t *testing.T, s *postgres.Store) map[string]int {
	t.Helper()
	var tables []string
	mustDo(t, s.Pool().Select(&tables, `SELECT table_name FROM information_schema.columns
		WHERE table_schema = $1 AND column_name = 'identifier' AND table_name <> 'incident' ORDER BY 1`, s.Schema()))
	if len(tables) < 9 {
		panic("the query finds not all tables")
	}
	left := map[string]int{}
	for _, table := range tables {
		var n int
		mustDo(t, s.Pool().Get(&n, `SELECT count(*) FROM `+s.Schema()+`.`+table+` c WHERE NOT EXISTS (
			SELECT FROM `+s.Schema()+`.incident i WHERE i.organization_id = c.organization_id AND i.identifier = c.identifier)`))
		if n > 0 {
			left[table] = n
		}
	}
	var n int
	mustDo(t, s.Pool().Get(&n, `SELECT count(*) FROM `+s.Schema()+`.incident_slot c WHERE holder <> 0 AND NOT EXISTS (
		SELECT FROM `+s.Schema()+`.incident i WHERE i.organization_id = c.organization_id AND i.identifier = c.holder AND i.status <> 2)`))
	if n > 0 {
		left["incident_slot"] = n
	}
	return left
}
