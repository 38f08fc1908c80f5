package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// mustHostPool opens a pool of a host on a database. Its statements wait for others for busyTimeout,
// unless the settings have another time.
func mustHostPool(t testing.TB, path, settings string) *sqlx.DB {
	t.Helper()
	if !strings.Contains(settings, "busy_timeout") {
		settings += fmt.Sprintf("&_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())
	}
	pool, err := sqlx.Open("sqlite", "file:"+path+"?"+settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool
}

// holdWriteLock begins a transaction of the host that writes, and ends it with the returned
// function.
func holdWriteLock(t testing.TB, path string) (release func()) {
	t.Helper()
	tx, err := mustHostPool(t, path, "_txlock=immediate").Beginx()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func count(t testing.TB, path, query string) (n int) {
	t.Helper()
	get(t, path, query, &n)
	return n
}

func textOf(t testing.TB, path, query string) (text string) {
	t.Helper()
	get(t, path, query, &text)
	return text
}

// get reads the value of a query into dest, over a connection of its own.
func get(t testing.TB, path, query string, dest any) {
	t.Helper()
	pool, err := sqlx.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)", path, busyTimeout.Milliseconds()))
	if err == nil {
		err = errors.Join(pool.Get(dest, query), pool.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Writes that wait together share a commit, but not their failures.
func TestWriter_batch(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	if err := s.Exec(t.Context(), "CREATE TABLE host (n INTEGER PRIMARY KEY) STRICT"); err != nil {
		t.Fatal(err)
	}
	insert := func(n int) func(func(string) error) error {
		return func(exec func(string) error) error { return exec(fmt.Sprintf("INSERT INTO host VALUES (%d)", n)) }
	}
	errs := s.Batch(t.Context(), insert(1), insert(2), insert(1), insert(3),
		func(func(string) error) error { return incident.ErrNotFound }, insert(4))
	for i, err := range errs {
		switch i {
		case 2:
			if err == nil {
				t.Error("a write that violates a constraint returns nil, want its error")
			}
		case 4:
			wantError(t, "a write of nothing", err, "", incident.ErrNotFound)
		default:
			if err != nil {
				t.Errorf("write %d of a batch = %v, want nil: only write 2 violates a constraint", i, err)
			}
		}
	}
	if n := count(t, path, "SELECT count(*) FROM host"); n != 4 {
		t.Errorf("the batch wrote %d rows, want 4", n)
	}
}

// A full disk ends a whole batch: SQLite rolls the transaction back by itself, so that later
// writes of the batch would commit alone.
func TestWriter_full(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	mustCreate(t, s, "before")
	if err := s.Exec(t.Context(), "CREATE TABLE host (n INTEGER PRIMARY KEY, filler BLOB) STRICT"); err != nil {
		t.Fatal(err)
	}
	pages := count(t, path, "PRAGMA page_count")
	if err := s.Exec(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+20)); err != nil {
		t.Fatal(err)
	}
	insert := func(n, size int) func(func(string) error) error {
		return func(exec func(string) error) error {
			return exec(fmt.Sprintf("INSERT INTO host VALUES (%d, zeroblob(%d))", n, size))
		}
	}
	for i, err := range s.Batch(t.Context(), insert(1, 10), insert(2, 10), insert(3, 4096*50), insert(4, 10), insert(5, 10)) {
		if err == nil {
			t.Errorf("write %d of a batch on a full disk returns nil, want an error", i)
		}
	}
	if n := count(t, path, "SELECT count(*) FROM host"); n != 0 {
		t.Errorf("a batch that failed wrote %d rows, want none", n)
	}
	_, err := create(t.Context(), s, strings.Repeat("x", 4096*50))
	wantError(t, "Apply() on a full disk", err, "free space", incident.ErrUnavailable)
	if err := s.Exec(t.Context(), "PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if n := mustCreate(t, s, "after"); n != 2 {
		t.Errorf("after the disk was full the next identifier is %d, want 2", n)
	}
}

// In a transaction, nothing is committed after SQLite rolled it back by itself, whether a
// statement of the store or of the host failed.
func TestInTx_full(t *testing.T) {
	t.Parallel()
	for _, ofHost := range []bool{false, true} {
		path := newPath(t)
		s := mustOpen(t, path, nil)
		m, err := incident.New(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(t.Context(), "CREATE TABLE host (filler BLOB) STRICT"); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", count(t, path, "PRAGMA page_count")+20)); err != nil {
			t.Fatal(err)
		}
		late := errors.New("not called")
		err = m.InTx(t.Context(), func(tx incident.Manager) error {
			if _, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "first"}); err != nil {
				return err
			}
			db, err := sqlite.Tx(tx)
			if err != nil {
				return err
			}
			if ofHost {
				if _, err := db.Exec("INSERT INTO host VALUES (zeroblob(4096 * 50))"); err == nil {
					t.Error("the disk is not full")
				}
			} else if _, err := tx.Create(t.Context(), incident.NewIncident{
				OrganizationID: "acme", Title: "x", Annotations: map[string]string{"a": strings.Repeat("x", 30<<10), "b": strings.Repeat("y", 1<<10)},
			}); err == nil {
				for range 20 {
					if _, err = tx.Create(t.Context(), incident.NewIncident{
						OrganizationID: "acme", Title: "x", Annotations: map[string]string{"a": strings.Repeat("x", 30<<10)},
					}); err != nil {
						break
					}
				}
				if err == nil {
					t.Error("the disk is not full")
				}
			}
			_, late = tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "late"})
			return nil
		})
		wantError(t, fmt.Sprintf("InTx() after a full disk (of the host: %t)", ofHost), err, "", incident.ErrUnavailable)
		wantError(t, "Create() after a full disk", late, "", incident.ErrUnavailable)
		if n := count(t, path, "SELECT count(*) FROM incident"); n != 0 {
			t.Errorf("a transaction that SQLite rolled back left %d incidents (of the host: %t), want none", n, ofHost)
		}
	}
}

// A write that waits for another process leaves when its context ends, and writes nothing.
func TestWriter_leaves(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, &sqlite.Options{BusyTimeout: 5 * time.Minute})
	release := holdWriteLock(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := create(ctx, s, "x")
	wantError(t, "Apply() while another transaction writes", err, "", context.DeadlineExceeded)
	err = s.InTx(ctx, func(incident.Store) error { return nil })
	wantError(t, "InTx() while another transaction writes", err, "", context.DeadlineExceeded)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("a call left %v after the begin, want soon after the end of its context, and long before BusyTimeout", took)
	}
	release()
	if n := mustCreate(t, s, "y"); n != 1 {
		t.Errorf("after a write that left, the next identifier is %d, want 1", n)
	}
}

// BusyTimeout bounds the wait for other transactions.
func TestWriter_busy(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, &sqlite.Options{BusyTimeout: 100 * time.Millisecond})
	defer holdWriteLock(t, path)()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := create(t.Context(), s, "x")
			wantError(t, "Apply()", err, "BusyTimeout", incident.ErrUnavailable)
		})
	}
	all.Go(func() {
		err := s.InTx(t.Context(), func(incident.Store) error { return nil })
		wantError(t, "InTx()", err, "BusyTimeout", incident.ErrUnavailable)
	})
	all.Wait()
}

// A write in progress whose context ends has its outcome or, after a patience, an unknown one.
func TestWriter_patience(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan struct{})
	err := s.Do(ctx, func() error {
		cancel()
		<-blocked
		return nil
	})
	close(blocked)
	wantError(t, "a write whose disk hangs", err, "", incident.ErrUnknownOutcome, context.Canceled)
	testAbandoned(t, s)
	for range 5 { // on a busy machine a commit may last longer than the patience
		ctx, cancel = context.WithCancel(t.Context())
		if err = s.Do(ctx, func() error { cancel(); return nil }); !errors.Is(err, incident.ErrUnknownOutcome) {
			break
		}
	}
	if err != nil {
		t.Errorf("a write whose context ends during the commit = %v, want nil", err)
	}
}

// testAbandoned checks that a write that waits in a batch is not applied after its caller has left.
func testAbandoned(t *testing.T, s *sqlite.Store) {
	t.Helper()
	inBatch, blocked := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	release := holdWriteLock(t, s.Path())
	all.Go(func() {
		err := s.Do(context.Background(), func() error {
			close(inBatch)
			<-blocked
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	applied := false
	awaitWaiting(t, s, 1)
	all.Go(func() {
		err := s.Do(ctx, func() error {
			applied = true
			return nil
		})
		wantError(t, "a write in a batch that hangs", err, "", context.Canceled)
		if errors.Is(err, incident.ErrUnknownOutcome) {
			t.Errorf("a write that was not applied = %v, want a known outcome", err)
		}
		close(blocked)
	})
	awaitWaiting(t, s, 2) // both are in the same batch
	release()
	<-inBatch
	cancel()
	all.Wait()
	mustCreate(t, s, "after")
	if applied {
		t.Error("a write was applied after its caller had left")
	}
}

// Two stores that read before they write in a transaction never fail: their transactions begin
// with the right to write. With a deferred BEGIN they would, at once.
func TestInTx_readsBeforeItWrites(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	stores := []*sqlite.Store{mustOpen(t, path, nil), mustOpen(t, path, nil)}
	n := mustCreate(t, stores[0], "x")
	var all sync.WaitGroup
	for i, s := range stores {
		for range 4 {
			all.Go(func() {
				for range 20 {
					err := s.InTx(context.Background(), func(tx incident.Store) error {
						if _, err := load(tx, n); err != nil {
							return err
						}
						_, err := create(context.Background(), tx, "y")
						return err
					})
					if err != nil {
						t.Errorf("InTx() of store %d = %v, want nil", i, err)
					}
				}
			})
		}
	}
	all.Wait()
	if n := count(t, path, "SELECT count(*) FROM incident"); n != 161 {
		t.Errorf("%d incidents were written, want 161", n)
	}
}

// The driver would save a time as a text with its monotonic clock.
func TestConn_refusesTimes(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("an argument of type time.Time is accepted, want a panic")
		}
	}()
	sqlite.Bound(time.Now())
}

// Each column has values of its type alone: times are integers.
func TestTables_types(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	mustCreate(t, mustOpen(t, path, nil), "x")
	if n := count(t, path, "SELECT count(*) FROM pragma_table_list WHERE name LIKE 'incident%' AND strict = 0"); n != 0 {
		t.Errorf("%d tables are not STRICT, want all", n)
	}
	if n := count(t, path, "SELECT count(*) FROM incident WHERE typeof(date_started) <> 'integer' OR date_started <> 1773446400000000"); n != 0 {
		t.Error("date_started is not in microseconds since 1970")
	}
	_, err := mustHostPool(t, path, "").Exec("UPDATE incident SET date_added = ?", time.Now())
	if err == nil {
		t.Error("a column of times takes a text, want an error")
	}
}
