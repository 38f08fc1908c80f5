package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// notLong bounds a call beside silent calls, and patience such a call on a busy machine.
const notLong, patience = 2 * time.Second, time.Minute

// inTime repeats a round until the calls that it measures take at most notLong. A busy machine may be
// late a few times, but not five times in turn.
func inTime(t *testing.T, what string, round func() time.Duration) {
	t.Helper()
	var took time.Duration
	for range 5 {
		if took = round(); took <= notLong || t.Failed() {
			return
		}
	}
	t.Errorf("%s took %v, and longer than %v four times before", what, took, notLong)
}

// muted is a store with a pool of four behind a proxy that falls silent.
type muted struct {
	proxy *pgtest.Proxy
	pool  *sqlx.DB
	past  *sqlx.DB // bypasses the proxy
	store *postgres.Store
	m     incident.Manager
}

func newMuted(t *testing.T, opts *postgres.Options) *muted {
	t.Helper()
	url := newTables(t)
	s := &muted{proxy: pgtest.NewProxy(t, url), past: mustOpen(t, url, 1)}
	dsn := s.proxy.URL()
	if opts != nil && opts.Unprepared {
		dsn += "&binary_parameters=yes"
	}
	s.pool = mustOpen(t, dsn, 4)
	s.store = mustNew(t, s.pool, opts)
	s.m = mustManager(t, s.store)
	return s
}

// silence silences count round trips from the n-th on. Their connections stay silent.
func (s *muted) silence(n, count int) { s.proxy.Do(pgtest.Silence, 0, n, count) }

// speak ends the silence of later round trips.
func (s *muted) speak() { s.proxy.Do(0, 0, 1, 0) }

// fill opens all connections of the pool.
func (s *muted) fill(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*sqlx.Conn
	for range 4 {
		c, err := s.pool.Connx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		c.Close()
	}
}

// mustWork makes more calls than there are connections, and returns how long they took.
func (s *muted) mustWork(t *testing.T, key incident.Key) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	var all sync.WaitGroup
	for range 2 {
		for _, op := range operations("any") {
			switch op.name {
			case "Create", "Get", "Details", "Comment", "MarkSeen", "Activities", "List":
				all.Go(func() {
					if err := op.call(ctx, s.m, key); err != nil {
						t.Errorf("%s beside silent calls = %v", op.name, err)
					}
				})
			}
		}
	}
	all.Wait()
	return time.Since(start)
}

func silentCalls() []write {
	reads := []string{"Get", "Details", "SeenBy", "Subscribers", "Activities", "List"}
	all := writes()
	for _, op := range operations("any") {
		for _, name := range reads {
			if op.name == name {
				all = append(all, write{op.name, op.call})
			}
		}
	}
	return all
}

// A pool of four recovers as soon as the network does, however many calls were abandoned,
// and whether or not their connections end by themselves.
func TestStore_silenceLeavesThePool(t *testing.T) {
	t.Parallel()
	for turn, opts := range []*postgres.Options{nil, {SingleProcess: true}, {Unprepared: true, SingleProcess: true}} {
		name := []string{"shared", "cached", "unprepared"}[turn]
		for part := range slices.Chunk(silentCalls(), 4) {
			t.Run(name+" "+part[0].name, func(t *testing.T) {
				t.Parallel()
				s := newMuted(t, opts)
				key := mustBegin(t, s.m)
				for i, w := range part {
					trips := []int{1, 3} // the first silent round trip
					if !long {           // the two take turns
						trips = trips[(i+turn)%2:][:1]
					}
					for _, n := range trips {
						inTime(t, "work", func() time.Duration {
							s.abandonSix(t, w, n, key)
							return s.mustWork(t, key)
						})
					}
					if t.Failed() {
						t.Fatalf("after %s", w.name)
					}
				}
			})
		}
	}
}

// abandonSix abandons six calls that are silent from the n-th round trip on.
func (s *muted) abandonSix(t *testing.T, w write, n int, key incident.Key) {
	t.Helper()
	s.fill(t)
	s.silence(n, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var six sync.WaitGroup
	for range 6 {
		six.Go(func() { _ = w.call(ctx, s.m, key) })
	}
	six.Wait()
	s.speak()
}

// A creation with a silent connection stops no other creation of its organization,
// wherever it waits and however long its context lasts.
func TestStore_silentCreation(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 8; n++ {
		t.Run("round trip "+strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			s := newMuted(t, nil)
			inTime(t, "creations beside a silent creation", func() time.Duration { return s.createBeside(t, n) })
		})
	}
}

func (s *muted) create(ctx context.Context) error {
	return only(s.m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"}))
}

// createBeside makes creations, of which the n-th round trip is silent, and a later creation. It
// returns how long the later creation took, or half of what the others took if that is longer.
func (s *muted) createBeside(t *testing.T, n int) time.Duration {
	t.Helper()
	dropIdle(t, s.pool)
	s.fill(t)
	if err := s.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer s.proxy.Heal()
	s.silence(n, 1)
	start := time.Now()
	late := make(chan error, 6)
	for range cap(late) {
		all.Go(func() { late <- s.create(context.Background()) })
	}
	wait := time.NewTimer(patience)
	for range cap(late) - 1 {
		select {
		case err := <-late:
			if err != nil {
				t.Errorf("Create() beside a silent creation = %v", err)
			}
		case <-wait.C:
			t.Fatal("creations wait for a silent one")
		}
	}
	took := time.Since(start)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start = time.Now()
	if err := s.create(ctx); err != nil {
		t.Errorf("Create() later = %v", err)
	}
	return max(took/2, time.Since(start))
}

// A writer with a silent connection stops no other writer of the incident, and neither
// does such a reader.
func TestStore_silentWriter(t *testing.T) {
	t.Parallel()
	calls := append(silentCalls(), write{"Active", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
		_, _, err := m.Active(ctx, apiSlot)
		return err
	}})
	calls = slices.DeleteFunc(calls, func(w write) bool { return w.name == "InTx" }) // it rightly holds the row
	for name, opts := range map[string]*postgres.Options{"shared": nil, "cached": {SingleProcess: true}} {
		for part := range slices.Chunk(calls, 2) {
			t.Run(name+" "+part[0].name, func(t *testing.T) {
				t.Parallel()
				s := newMuted(t, opts)
				for _, w := range part {
					for n := 1; n <= 2; n++ {
						inTime(t, "calls beside "+w.name, func() time.Duration { return s.checkWritersBeside(t, w, n) })
					}
				}
			})
		}
	}
}

// checkWritersBeside checks that calls succeed while the n-th round trip of w is silent, and returns
// how long they took.
func (s *muted) checkWritersBeside(t *testing.T, w write, n int) time.Duration {
	t.Helper()
	dropIdle(t, s.pool)
	mustExec(t, s.past, deleteAllSQL)
	s.m = mustManager(t, s.store)
	key := mustBegin(t, s.m)
	s.fill(t)
	var silent sync.WaitGroup
	s.silence(n, 1)
	silent.Go(func() { _ = w.call(context.Background(), s.m, key) })
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.speak()
	start := time.Now()
	if err := only(s.m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical})); err != nil {
		t.Errorf("%s is silent at round trip %d; UpdateStatus() = %v", w.name, n, err)
	}
	if _, err := s.m.Get(ctx, key); err != nil {
		t.Errorf("%s is silent at round trip %d; Get() = %v", w.name, n, err)
	}
	if _, _, err := s.m.Active(ctx, apiSlot); err != nil {
		t.Errorf("%s is silent at round trip %d; Active() = %v", w.name, n, err)
	}
	took := time.Since(start)
	s.proxy.Heal()
	silent.Wait()
	return took
}

// Calls end with their contexts and the pool recovers, whenever connections fall silent.
func TestStore_silenceAtRandom(t *testing.T) {
	t.Parallel()
	s := newMuted(t, &postgres.Options{SingleProcess: true})
	key := mustBegin(t, s.m)
	calls := silentCalls()
	for range 5 {
		inTime(t, "calls with silence at random", func() time.Duration {
			var longest atomic.Int64 // nanoseconds
			var all sync.WaitGroup
			for range 12 {
				all.Go(func() {
					for range 3 {
						s.silence(1+rand.IntN(10), rand.IntN(4))
						took := int64(shortCall(t, s.m, key, calls[rand.IntN(len(calls))]))
						for most := longest.Load(); took > most && !longest.CompareAndSwap(most, took); most = longest.Load() {
						}
					}
				})
			}
			all.Wait()
			s.speak()
			return max(time.Duration(longest.Load())/2, s.mustWork(t, key))
		})
	}
}

// shortCall makes a call with a context that ends soon, and returns how long it took.
func shortCall(t *testing.T, m incident.Manager, key incident.Key, w write) time.Duration {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+rand.IntN(200))*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := w.call(ctx, m, key)
	took := time.Since(start)
	if errors.Is(err, incident.ErrInvalid) || took > 2*notLong {
		t.Logf("%s took %v and ended with %v", w.name, took, err)
	}
	return took
}

// While the driver still works for an abandoned call, database/sql does not get its connection: it would
// close the statements that it has prepared on it for joined transactions, or roll back, beside the driver.
// A busy machine may be late, but not five times in turn.
func TestStore_abandonedConnectionIsLeftToTheDriver(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for name, read := range map[string]func(ctx context.Context, between func()) error{
		"alone": s.ReadRows,
		"in a transaction": func(ctx context.Context, between func()) error {
			return s.InTx(ctx, func(tx incident.Store) error { return tx.(*postgres.Store).ReadRows(ctx, between) })
		},
	} {
		isLeft := false
		for attempt := 0; attempt < 5 && !isLeft; attempt++ {
			ctx, cancel := context.WithCancel(t.Context())
			goOn := make(chan struct{})
			err := read(ctx, func() { cancel(); <-goOn })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: a call whose reader stands still = %v, want Canceled", name, err)
			}
			time.Sleep(200 * time.Millisecond)
			isLeft = s.Pool().Stats().InUse == 1
			close(goOn)
			pgtest.AwaitIdle(t, s.Pool())
		}
		if !isLeft {
			t.Errorf("%s: database/sql has the connection while the driver reads from it", name)
		}
	}
}

// Close leaves no prepared statement on the host's connections.
func TestStore_closeLeavesNothingPrepared(t *testing.T) {
	t.Parallel()
	s := newMuted(t, nil)
	key := mustBegin(t, s.m)
	s.mustWork(t, key)
	prepared := func() (n int) {
		var all []*sqlx.Conn
		for range 4 {
			c, err := s.pool.Connx(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
			var here int
			if err := c.GetContext(t.Context(), &here, "SELECT count(*) FROM pg_prepared_statements"); err != nil {
				t.Error(err)
			}
			n += here
		}
		for _, c := range all {
			c.Close()
		}
		return n
	}
	if prepared() == 0 {
		t.Fatal("nothing is prepared")
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if n := prepared(); n != 0 {
		t.Errorf("%d statements are prepared after Close", n)
	}
}
