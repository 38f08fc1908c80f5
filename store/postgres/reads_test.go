package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// loaded is the result of a read of an incident or a slot.
type loaded struct {
	state incident.State
	slot  incident.SlotState
	err   error
}

// loadKey returns the read of an incident.
func loadKey(s *postgres.Store, key incident.Key) func(context.Context) loaded {
	return func(ctx context.Context) (l loaded) {
		l.state, l.err = s.Load(ctx, key)
		return l
	}
}

// loadSlot returns the read of a slot.
func loadSlot(s *postgres.Store, slot incident.Slot) func(context.Context) loaded {
	return func(ctx context.Context) (l loaded) {
		l.slot, l.err = s.LoadSlot(ctx, slot)
		return l
	}
}

// readTogether begins reads that wait for each other, so that they share statements.
func readTogether(ctx context.Context, t *testing.T, s *postgres.Store, all ...func(context.Context) loaded) (results []chan loaded) {
	t.Helper()
	waiting, release := s.HoldReads()
	for _, read := range all {
		result := make(chan loaded, 1)
		results = append(results, result)
		go func() { result <- read(ctx) }()
	}
	eventually(t, "the reads wait", func() bool { return waiting() == len(all) })
	release()
	return results
}

// mustReadTogether reads incidents and slots together, n times.
func mustReadTogether(t *testing.T, s *postgres.Store, n int) {
	t.Helper()
	for i := range n {
		var all []func(context.Context) loaded
		for k := range 20 {
			org := incident.OrganizationID(fmt.Sprint("org-", (i+k)%4))
			slot := apiSlot
			slot.OrganizationID = org
			all = append(all, loadKey(s, incident.Key{OrganizationID: org, Identifier: int64(k/4 + 1)}), loadSlot(s, slot))
		}
		for _, result := range readTogether(t.Context(), t, s, all...) {
			if l := receive(t, result); l.err != nil && !errors.Is(l.err, incident.ErrNotFound) {
				t.Fatal(l.err)
			}
		}
	}
}

// someReads makes incidents and slots of several kinds, and returns their reads. Some are of no
// incident, and some are equal.
func someReads(t *testing.T, s *postgres.Store) (all []func(context.Context) loaded) {
	t.Helper()
	m := mustManager(t, s)
	for i, org := range manyOrgs(5) {
		for range 2 {
			r, err := m.Create(t.Context(), incident.NewIncident{
				OrganizationID: org, Title: "Down", Projects: []incident.ProjectID{"api", "web"}, Labels: labels("team", "a"),
			})
			mustDo(t, err)
			all = append(all, loadKey(s, r.Key()), loadKey(s, r.Key()))
		}
		f := firing
		f.OrganizationID = org
		for trigger := range i {
			f.TriggerID = incident.TriggerID(fmt.Sprint("trigger-", trigger))
			r, err := m.Fire(t.Context(), f)
			mustDo(t, err)
			all = append(all, loadKey(s, r.Key()))
		}
		if i%2 == 1 {
			mustDo(t, only(m.Resolve(t.Context(), incident.Resolution{Slot: f.Slot, TriggerID: "trigger-0"})))
		}
		all = append(all, loadSlot(s, f.Slot), loadSlot(s, f.Slot), loadKey(s, incident.Key{OrganizationID: org, Identifier: 99}))
	}
	return all
}

// Reads that share a statement have the same results as reads that go alone.
func TestStore_readsMeet(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	all := someReads(t, s)
	mustMeet(t, s, all, func() {})
	for four := range slices.Chunk(all, 4) { // two lanes have two each
		mustMeet(t, s, four, func() {})
	}
}

// mustMeet reads together, and compares the results with those of the same reads after apart.
func mustMeet(t *testing.T, s *postgres.Store, all []func(context.Context) loaded, apart func()) {
	t.Helper()
	var together []loaded
	for _, result := range readTogether(t.Context(), t, s, all...) {
		together = append(together, receive(t, result))
	}
	apart()
	for i, got := range together {
		want := all[i](t.Context())
		if errors.Is(got.err, incident.ErrNotFound) && errors.Is(want.err, incident.ErrNotFound) {
			got.err, want.err = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %d together = %+v, alone = %+v", i, got, want)
		}
	}
}

// Few of the reads that meet go alone. All may do so if their statement takes long, but not five times
// in turn.
func TestStore_readsShare(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	all := someReads(t, s)
	refuseReads(t, mustOpen(t, url, 1), "NOT LIKE", "22000")
	mustShare(t, s, all)
}

// mustShare reads together while reads that go alone are refused.
func mustShare(t *testing.T, s *postgres.Store, all []func(context.Context) loaded) {
	t.Helper()
	alone := len(all)
	for turn := 0; turn < 5 && alone > len(all)/2; turn++ {
		alone = 0
		for _, result := range readTogether(t.Context(), t, s, all...) {
			if l := receive(t, result); l.err != nil && !errors.Is(l.err, incident.ErrNotFound) {
				alone++
			}
		}
	}
	if alone > len(all)/2 {
		t.Errorf("%d of %d reads went alone", alone, len(all))
	}
}

// A read sees every commit before it, also beside other reads of the incident.
func TestStore_readsSeeCommits(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	reading, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for reading.Err() == nil {
				if _, err := s.Load(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 200 {
		status := []incident.Status{incident.StatusWarning, incident.StatusCritical}[n%2]
		r, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status})
		if err != nil {
			t.Error(err)
			break
		}
		if state, err := s.Load(t.Context(), key); err != nil || state.Incident.Version < r.Version {
			t.Errorf("after the commit of version %d a read returned version %d, %v", r.Version, state.Incident.Version, err)
		}
	}
	stop()
	readers.Wait()
}

// countReads returns how many statements wait for a lock of a table.
func countReads(t *testing.T, pool *sqlx.DB) (n int) {
	t.Helper()
	mustDo(t, pool.Get(&n, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`))
	return n
}

// blockedReads begins n reads that share statements, which wait for a lock until open is called. admin
// does not wait.
func blockedReads(ctx context.Context, t *testing.T, n int) (s *postgres.Store, admin *sqlx.DB, results []chan loaded, open func()) {
	t.Helper()
	s, url := newStore(t)
	admin = mustOpen(t, url, 2)
	key := mustBegin(t, mustManager(t, s))
	tx := admin.MustBegin()
	tx.MustExec("LOCK TABLE incident IN ACCESS EXCLUSIVE MODE")
	open = sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(open)
	var all []func(context.Context) loaded
	for range n {
		all = append(all, loadKey(s, key))
	}
	results = readTogether(ctx, t, s, all...)
	eventually(t, "the reads wait for the lock", func() bool { return countReads(t, admin) > 0 })
	return s, admin, results, open
}

func mustLoad(t *testing.T, results []chan loaded) {
	t.Helper()
	for _, result := range results {
		if l := receive(t, result); l.err != nil {
			t.Error(l.err)
		}
	}
}

// The members of a statement whose connection ends are read alone.
func TestStore_readsKilled(t *testing.T) {
	t.Parallel()
	_, admin, results, open := blockedReads(t.Context(), t, 24)
	admin.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`)
	open()
	mustLoad(t, results)
}

// The members of a statement that takes too long are read alone.
func TestStore_readsTakeTooLong(t *testing.T) {
	t.Parallel()
	_, admin, results, open := blockedReads(t.Context(), t, 24)
	eventually(t, "the members wait by themselves", func() bool { return countReads(t, admin) > 8 })
	open()
	mustLoad(t, results)
}

// Callers whose contexts end leave at once. Their statements are cancelled, and their connections
// return to the pool.
func TestStore_readersGiveUp(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 24} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			s, admin, results, open := blockedReads(ctx, t, n)
			cancel()
			for _, result := range results {
				if l := receive(t, result); !errors.Is(l.err, context.Canceled) {
					t.Errorf("a read that gave up = %v", l.err)
				}
			}
			eventually(t, "nothing waits for the lock", func() bool { return countReads(t, admin) == 0 })
			pgtest.AwaitIdle(t, s.Pool())
			open()
			mustLoad(t, readTogether(t.Context(), t, s, loadKey(s, incident.Key{OrganizationID: "acme", Identifier: 1})))
		})
	}
}

// A read that waits for lanes gets another when the callers of those give up, each time: the lanes may
// end before the next look at their age.
func TestStore_readWaitsForThoseThatGiveUp(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	admin := mustOpen(t, url, 2)
	key := mustBegin(t, mustManager(t, s))
	for range 10 {
		waitBehind(t, s, admin, key)
	}
}

// waitBehind begins a read while all lanes wait for a lock, and their callers give up.
func waitBehind(t *testing.T, s *postgres.Store, admin *sqlx.DB, key incident.Key) {
	t.Helper()
	tx := admin.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec("LOCK TABLE incident IN ACCESS EXCLUSIVE MODE")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 16 {
		go func() { _ = loadKey(s, key)(ctx) }()
	}
	eventually(t, "the reads wait for the lock", func() bool { return countReads(t, admin) > 0 })
	last := make(chan loaded, 1)
	go func() { last <- loadKey(s, key)(t.Context()) }()
	time.Sleep(time.Millisecond) // usually it waits then
	cancel()
	time.Sleep(time.Millisecond) // the statements end
	mustDo(t, tx.Rollback())
	mustLoad(t, []chan loaded{last})
}

// No lane remains open after reads whose contexts end at any time.
func TestStore_readersGiveUpAtRandom(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	key := mustBegin(t, mustManager(t, s))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(rand.N(time.Millisecond), cancel)
				if _, err := s.Load(ctx, key); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	s.LeaveLate(key)
	eventually(t, "no lane is open", func() bool {
		open, members := s.ReadLanes()
		return open == 0 && members == 0
	})
	pgtest.AwaitIdle(t, s.Pool())
	mustReadTogether(t, s, 1)
}

// refuseReads has the database refuse reads of incidents whose text is LIKE that for several, or NOT
// LIKE it, with an SQLSTATE.
func refuseReads(t *testing.T, admin *sqlx.DB, like, state string) {
	t.Helper()
	if err := only(admin.Exec(`
CREATE FUNCTION refuse() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_query() ` + like + ` '%unnest%' THEN
		RAISE EXCEPTION 'refused' USING ERRCODE = '` + state + `';
	END IF;
	RETURN true;
END $$;
ALTER TABLE incident RENAME TO incident_shards;
CREATE VIEW incident AS SELECT * FROM incident_shards WHERE refuse()`)); err != nil {
		t.Fatal(err)
	}
}

// A database that refuses a statement for several reads answers each alone.
func TestStore_readsRefused(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	all := someReads(t, s)
	refuseReads(t, mustOpen(t, url, 1), "LIKE", "0A000")
	for _, result := range readTogether(t.Context(), t, s, all...) {
		if l := receive(t, result); l.err != nil && !errors.Is(l.err, incident.ErrNotFound) {
			t.Error(l.err)
		}
	}
	if l := all[0](t.Context()); l.err != nil {
		t.Error(l.err)
	}
}
