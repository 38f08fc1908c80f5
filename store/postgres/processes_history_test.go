//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// survivors is the number of incidents in a process's cache when its server loses the
// latest commits.
const survivors = 20

// past is a server that loses commits, a process that survives the loss, and another
// process.
type past struct {
	server   *pgtest.Server
	proxy    *pgtest.Proxy
	admin    *sqlx.DB
	store    *postgres.Store
	survivor incident.Manager
	unknown  *unknownChanges // of the survivor
}

// loss is a way in which a server loses the commits between two moments.
type loss struct {
	settings []string
	options  string // of the connection whose commits will be lost

	begin func(t *testing.T, p *past)               // before the commits that will be lost
	write func(t *testing.T, p *past, other writer) // the writes that will be lost; nil for a change of every incident
	lose  func(t *testing.T, p *past)

	// apart makes the survivor reach the server only after new writes of others, and once all
	// lost transaction numbers are assigned again.
	apart bool
}

// writer is a process other than the survivor.
type writer struct {
	incident.Manager
	pool *sqlx.DB
}

func newPast(t *testing.T, l loss) *past {
	t.Helper()
	server, err := pgtest.StartOwn(l.settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	p := &past{server: server, proxy: pgtest.NewProxy(t, server.URL())}
	pool := mustOpen(t, p.proxy.URL(), 8)
	mustMigrate(t, pool, nil)
	p.store, p.admin = mustNew(t, pool, nil), mustOpen(t, server.URL(), 1)
	p.survivor, p.unknown = mustCountResets(t, p.store)
	return p
}

// other returns a process with connections of its own.
func (p *past) other(t *testing.T, options string) writer {
	t.Helper()
	url := p.server.URL()
	if options != "" {
		url += "&options=" + options
	}
	pool := mustOpen(t, url, 2)
	return writer{mustManager(t, mustNew(t, pool, nil)), pool}
}

func keyOf(i int) incident.Key { return incident.Key{OrganizationID: "acme", Identifier: int64(i)} }

func (w writer) mustCreate(t *testing.T, title string, n int) {
	t.Helper()
	for range n {
		if _, err := w.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: title}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w writer) mustSet(t *testing.T, from, to int, status incident.Status) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := w.UpdateStatus(t.Context(), keyOf(i), incident.StatusUpdate{Status: status}); err != nil {
			t.Fatal(err)
		}
	}
}

// useUpTo uses the transaction numbers below end in transactions that roll back.
func (w writer) useUpTo(end int64) {
	w.pool.MustExec(fmt.Sprintf(`DO $$ BEGIN
		WHILE pg_snapshot_xmax(pg_current_snapshot()) < '%d'::xid8 LOOP
			PERFORM pg_current_xact_id();
			ROLLBACK;
		END LOOP;
	END $$`, end))
}

// changeEverything changes all incidents twice, and creates as many more.
func changeEverything(t *testing.T, _ *past, w writer) {
	w.mustSet(t, 1, survivors, incident.StatusWarning)
	w.mustSet(t, 1, survivors, incident.StatusCritical)
	w.mustCreate(t, "Lost", survivors)
}

// test makes a process survive the loss. A second after the process follows again, it must
// serve no lost write and all later writes.
func (l loss) test(t *testing.T) {
	p := newPast(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = p.survivor.Run(ctx) }) // Run ends with its context
	p.other(t, "").mustCreate(t, "Kept", survivors)
	running.Go(func() {
		for ctx.Err() == nil { // reads continue, with or without a server
			for i := 1; i <= 2*survivors; i++ {
				_, _ = p.survivor.Get(ctx, keyOf(i))
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	l.begin(t, p)
	write := l.write
	if write == nil {
		write = changeEverything
	}
	p.awaitFeed(t)
	resets := p.unknown.n.Load()
	write(t, p, p.other(t, l.options))
	p.awaitAgreement(t, 30*time.Second)
	if got := p.unknown.n.Load(); got != resets {
		t.Fatalf("the cache was emptied %d times before the loss", got-resets)
	}
	var end int64
	mustDo(t, p.admin.Get(&end, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
	if l.apart {
		p.proxy.Refuse()
	}
	l.lose(t, p)
	after := p.other(t, "")
	after.mustSet(t, 1, survivors/2, incident.StatusClosed)
	after.mustCreate(t, "Anew", survivors/2)
	if l.apart {
		after.useUpTo(end)
	}
	p.proxy.Heal()
	p.awaitFeed(t)
	p.awaitAgreement(t, time.Second)
	after.mustSet(t, survivors/4, survivors*3/4, incident.StatusClosed)
	p.awaitAgreement(t, time.Second)
	hits := p.survivor.Stats().CacheHits
	for deadline := time.Now().Add(time.Minute); p.survivor.Stats().CacheHits == hits; {
		p.awaitAgreement(t, time.Second)
		if time.Now().After(deadline) {
			t.Fatal("nothing is served from the cache any more: the test shows nothing")
		}
	}
	checkActive(t, p.store, 0)
}

// awaitFeed waits until the survivor follows again.
func (p *past) awaitFeed(t *testing.T) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		feed := p.survivor.Stats().Feed
		waited := time.Since(start)
		switch {
		case feed.State == incident.FeedFollowing && feed.Lag < waited: // it has asked since then
			return
		case waited > time.Minute:
			t.Fatalf("the feed is %s a minute after the server was back", feed.State)
		}
	}
}

// awaitAgreement waits until the survivor serves the state of the database. Nothing else may be
// served after most. A server that has come back may give no answers for longer.
func (p *past) awaitAgreement(t *testing.T, most time.Duration) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		waited := time.Since(start)
		wrong, failed := p.disagreements(t)
		switch {
		case len(wrong) > 0 && waited > most:
			t.Fatalf("after %v %d of %d incidents are served wrongly, such as %s", most, len(wrong), 2*survivors, wrong[0])
		case failed != nil && waited > time.Minute:
			t.Fatalf("the server gives no answers: %v", failed)
		case len(wrong) == 0 && failed == nil:
			return
		}
	}
}

// disagreements compares the survivor's answers with the database. failed is the error of a call
// that got no answer.
func (p *past) disagreements(t *testing.T) (wrong []string, failed error) {
	t.Helper()
	for i := 1; i <= 2*survivors; i++ {
		st, err1 := p.store.Load(t.Context(), keyOf(i))
		want, err1 := servedAs(st.Incident, err1)
		inc, err2 := p.survivor.Get(t.Context(), keyOf(i))
		got, err2 := servedAs(inc, err2)
		if err := errors.Join(err1, err2); err != nil {
			failed = err
		} else if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: served %s, want %s", keyOf(i), got, want))
		}
	}
	return wrong, failed
}

func servedAs(inc incident.Incident, err error) (string, error) {
	if errors.Is(err, incident.ErrNotFound) {
		return "nothing", nil
	}
	return fmt.Sprintf("version %d of %q, %s", inc.Version, inc.Title, inc.Status), err
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A cache is correct after its server has lost the latest commits, for each way to lose
// them.
func TestHistory(t *testing.T) {
	t.Parallel()
	unflushed := []string{"autovacuum = off", "checkpoint_timeout = 1h"}
	for name, l := range map[string]loss{
		"a backup is restored": {
			apart: true,
			begin: func(t *testing.T, p *past) { mustDo(t, p.server.Shutdown(), p.server.Backup(), p.server.Restart()) },
			lose:  func(t *testing.T, p *past) { mustDo(t, p.server.Shutdown(), p.server.Restore(), p.server.Restart()) },
		},
		"the server crashes with asynchronous commits": {
			settings: unflushed, options: "-c%20synchronous_commit%3Doff", begin: holdBack, lose: crashAll,
		},
		"the server recovers by itself with asynchronous commits": {
			settings: unflushed, options: "-c%20synchronous_commit%3Doff", begin: holdBack, lose: crashInPlace,
		},
		"the server crashes with rollbacks": {
			settings: unflushed, begin: holdBack, write: rollBack, lose: crashAll, apart: true,
		},
		"the server recovers by itself with rollbacks": {
			settings: unflushed, begin: holdBack, write: rollBack, lose: crashInPlace, apart: true,
		},
		"a standby takes over": failover(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.test(t)
		})
	}
}

// failover loses the commits that a standby has not received.
func failover() loss {
	var standby *pgtest.Server
	return loss{
		begin: func(t *testing.T, p *past) {
			s, err := p.server.Standby()
			mustDo(t, err)
			t.Cleanup(s.Stop)
			mustDo(t, p.server.WaitForStandby(), s.Detach())
			p.admin.MustExec("ALTER SYSTEM RESET synchronous_standby_names")
			p.admin.MustExec("SELECT pg_reload_conf()")
			standby = s
		},
		lose: func(t *testing.T, p *past) {
			p.server.Kill()
			p.server = standby
			mustDo(t, standby.Promote(), p.proxy.Retarget(standby.URL()))
		},
	}
}

func crashAll(t *testing.T, p *past) {
	p.server.Kill()
	mustDo(t, p.server.Restart())
}

// walWriter returns the server process that writes asynchronous commits to the disk.
func (p *past) walWriter(t *testing.T) (pid int) {
	t.Helper()
	mustDo(t, p.admin.Get(&pid, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"))
	if pid <= 1 {
		t.Fatalf("the server's process is %d", pid)
	}
	return pid
}

// holdBack keeps asynchronous commits from reaching the disk.
func holdBack(t *testing.T, p *past) {
	p.admin.MustExec("CHECKPOINT")
	mustDo(t, syscall.Kill(p.walWriter(t), syscall.SIGSTOP))
}

// crashInPlace kills a process of the server. The server then ends all other processes and
// recovers without a restart.
func crashInPlace(t *testing.T, p *past) {
	killed := p.walWriter(t)
	mustDo(t, syscall.Kill(killed, syscall.SIGKILL))
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pool := mustOpen(t, p.server.URL(), 1)
		var pid int // is another one only after the recovery
		err := pool.Get(&pid, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
		pool.Close()
		switch {
		case err == nil && pid != killed:
			return
		case time.Now().After(deadline):
			t.Fatalf("the server has not recovered: %v, process %d", err, pid)
		}
	}
}

// rollBack uses transaction numbers that do not reach the disk.
func rollBack(t *testing.T, p *past, w writer) {
	before, err := p.store.Changes(t.Context(), "")
	mustDo(t, err)
	var end int64
	mustDo(t, w.pool.Get(&end, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
	w.useUpTo(end + 10*survivors)
	after, err := p.store.Changes(t.Context(), "")
	mustDo(t, err)
	if before.Position == after.Position {
		t.Fatal("the position has not moved: the test shows nothing")
	}
	p.awaitFeed(t) // the survivor has asked since then
}
