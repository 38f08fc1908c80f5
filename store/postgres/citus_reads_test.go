//go:build citus

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// eachCitusWay runs a test through the coordinator, and with routes to the workers.
func eachCitusWay(t *testing.T, run func(t *testing.T, workers func(string) *sqlx.DB)) {
	t.Run("coordinator", func(t *testing.T) { run(t, nil) })
	t.Run("workers", func(t *testing.T) { run(t, openCitusWorkers(t, 4)) })
}

// Reads of organizations of a server share a call, and have the same results as reads that go alone.
func TestCitus_reads(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_", workers != nil), citusURL(t), workers)
		all := someReads(t, s)
		for _, read := range all { // so that there are reads of all servers
			read(t.Context())
		}
		many := s.Schema() + ".incident_run_many(text, uuid, text, text[], text[])"
		s.Pool().MustExec("ALTER FUNCTION " + many + " RENAME TO incident_ran_many") // only a move needs it
		mustShareWithoutRun(t, s, all)
		s.Pool().MustExec("ALTER FUNCTION " + s.Schema() + ".incident_ran_many(text, uuid, text, text[], text[]) RENAME TO incident_run_many")
		mustMeet(t, s, all, s.ReadApart)
	})
}

// Callers that are ready together share a call: the first of them does not go ahead.
func TestCitus_readsOfReadyCallers(t *testing.T) {
	l, s := newCitusLossyStore(t, false, 2)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // all are ready before the first runs
	inc, err := l.past.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Errors"})
	mustDo(t, err)
	const rounds = 40
	single := 0
	for range rounds {
		trips := l.proxy.RoundTrips()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := s.Load(t.Context(), inc.Key()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if l.proxy.RoundTrips() == trips+1 {
			single++
		}
	}
	if single < rounds*7/8 { // the runtime may preempt a caller
		t.Errorf("in %d of %d rounds eight reads shared a call, want almost all", single, rounds)
	}
}

// Reads share a call that takes locks, or go alone, without the functions for several.
func TestCitus_readsWithoutFunction(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_alone_", workers != nil), citusURL(t), workers)
		s.Pool().MustExec("DROP FUNCTION " + s.Schema() + ".incident_read_shards(text, uuid, text, bigint[], text[])")
		keys, reads := incidentsOf(t, s, routedOrganizations())
		mustShareWithoutRun(t, s, reads)
		s.Pool().MustExec("DROP FUNCTION " + s.Schema() + ".incident_run_many(text, uuid, text, text[], text[])")
		mustUse(t, s, routedOrganizations()...)
		for i, read := range reads {
			if l := read(t.Context()); l.err != nil || l.state.Incident.Key() != keys[i] {
				t.Errorf("%v, %v, want %v", l.state.Incident.Key(), l.err, keys[i])
			}
		}
	})
}

// mustShareWithoutRun makes reads while the function for a single statement is away.
func mustShareWithoutRun(t *testing.T, s *postgres.Store, all []func(context.Context) loaded) {
	t.Helper()
	s.Pool().MustExec("ALTER FUNCTION " + s.Schema() + ".incident_run(text, uuid, text, text) RENAME TO incident_ran")
	mustShare(t, s, all)
	s.Pool().MustExec("ALTER FUNCTION " + s.Schema() + ".incident_ran(text, uuid, text, text) RENAME TO incident_run")
}

// A call that reads without a lock fails if a move begins to commit before its last statement ends.
func TestCitus_readsUnlocked(t *testing.T) {
	s := mustRoute(t, "reads_unlocked", citusURL(t), nil)
	for _, url := range citusWorkerURLs(t) {
		pool := mustOpen(t, url, 2)
		var shards []struct {
			Shard int64
			Table string
		}
		mustDo(t, pool.Select(&shards, `
			SELECT shardid AS shard, shard_name(logicalrelid, shardid) AS table
			FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_local_group USING (groupid)
			WHERE logicalrelid = $1::regclass ORDER BY shardid`, s.Schema()+".incident"))
		const text = "SELECT $2::bigint, title FROM @incident WHERE organization_id = $1"
		call := func() error {
			of := fmt.Sprintf("{%d,%d}", shards[0].Shard, shards[1].Shard)
			_, err := pool.Exec(`SELECT `+s.Schema()+`.incident_read_shards((SELECT 'acme'::text), substr(encode(sha256($1::bytea), 'hex'), 1, 32)::uuid, $2, $3, '{"''acme'',1","''acme'',2"}')`,
				[]byte(text), text, of)
			return err
		}
		mustDo(t, call())
		locked := mustOpen(t, url, 1).MustBegin()
		locked.MustExec("SET LOCAL citus.enable_manual_changes_to_shards TO on")
		locked.MustExec("LOCK TABLE " + shards[1].Table + " IN ACCESS EXCLUSIVE MODE")
		result := make(chan error, 1)
		go func() { result <- call() }()
		eventually(t, "the call has read from the first shard", func() (waits bool) {
			mustDo(t, pool.Get(&waits, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass)", shards[1].Table))
			return waits
		})
		moves := touchPlacement(t, shards[0].Shard)
		mustDo(t, locked.Rollback())
		var refusal interface{ SQLState() string }
		if err := receive(t, result); !errors.As(err, &refusal) || refusal.SQLState() != "IS003" {
			t.Errorf("a call beside the commit of a move: %v, want IS003", err)
		}
		for _, tx := range moves {
			mustDo(t, tx.Rollback())
		}
	}
}

// At a worker, reads execute what their session has prepared, and nothing else is asked. If a move begins to commit
// before the last of them has been read, they count for nothing.
func TestCitus_readsPrepared(t *testing.T) {
	s := mustRoute(t, "reads_prepared", citusURL(t), openCitusWorkers(t, 1))
	org := routedOrganizations()[0]
	_, reads := incidentsOf(t, s, []incident.OrganizationID{org})
	dropReadFunctions(s)
	mustDo(t, reads[0](t.Context()).err)

	shard := shardOf(t, s, org)
	table, waits := "", false
	mustDo(t, s.Pool().Get(&table, "SELECT shard_name($1::regclass, $2::bigint)", s.Schema()+".incident", shard))
	for _, isMoving := range []bool{false, true} {
		var locked *sqlx.Tx
		var worker *sqlx.DB
		for _, url := range citusWorkerURLs(t) {
			pool := mustOpen(t, url, 2)
			isHere := false
			mustDo(t, pool.Get(&isHere, "SELECT to_regclass($1) IS NOT NULL", table))
			if isHere {
				worker, locked = pool, pool.MustBegin()
				locked.MustExec("SET LOCAL citus.enable_manual_changes_to_shards TO on")
				locked.MustExec("LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE")
			}
		}
		result := readTogether(t.Context(), t, s, reads...)[0]
		eventually(t, "the read waits for the table", func() bool {
			mustDo(t, worker.Get(&waits, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass)", table))
			return waits
		})
		var moves []*sqlx.Tx
		if isMoving {
			moves = touchPlacement(t, shard)
		}
		mustDo(t, locked.Rollback())
		if l := receive(t, result); (l.err != nil) != isMoving {
			t.Errorf("a move begins to commit = %t, and the read ends with %v", isMoving, l.err)
		}
		for _, tx := range moves {
			mustDo(t, tx.Rollback())
		}
	}
}

// At a worker two reads of a shard are a statement, which the session keeps prepared like that of a read alone.
func TestCitus_readsInPairs(t *testing.T) {
	workers := openCitusWorkers(t, 1)
	s := mustRoute(t, "reads_pairs", citusURL(t), workers)
	m := mustManager(t, s)
	f := firing
	var all []func(context.Context) loaded
	var want []loaded
	for n := range 5 {
		f.AlertRuleID = incident.AlertRuleID(fmt.Sprint("it's ", n))
		for trigger := range n {
			f.TriggerID = incident.TriggerID(fmt.Sprint("trigger ", trigger))
			mustDo(t, only(m.Fire(t.Context(), f)))
		}
		all = append(all, loadSlot(s, f.Slot), loadKey(s, incident.Key{OrganizationID: f.OrganizationID, Identifier: int64(5 - n)}))
	}
	for _, read := range all {
		want = append(want, read(t.Context()))
	}
	mustRead := func() {
		t.Helper()
		for i, result := range readTogether(t.Context(), t, s, all...) {
			if got := receive(t, result); !reflect.DeepEqual(got, want[i]) {
				t.Errorf("read %d: %+v, want %+v", i, got, want[i])
			}
		}
	}
	mustRead()
	dropReadFunctions(s)
	for address := range citusWorkerURLs(t) {
		workers(address).MustExec("SET search_path TO pg_catalog") // as a host may have it
	}
	mustRead()
	prepared, sum := 0, 0
	for address := range citusWorkerURLs(t) {
		mustDo(t, workers(address).Get(&prepared, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql AND statement LIKE '%AS k (organization_id, number,%'"))
		sum += prepared
	}
	if sum != 2 {
		t.Errorf("%d statements for pairs are prepared, want one for incidents and one for slots", sum)
	}
}

// dropReadFunctions leaves only the function that executes what a session has prepared.
func dropReadFunctions(s *postgres.Store) {
	for _, function := range []string{"read_shards(text, uuid, text, bigint[], text[])", "run_many(text, uuid, text, text[], text[])", "run(text, uuid, text, text)"} {
		s.Pool().MustExec("DROP FUNCTION " + s.Schema() + ".incident_" + function)
	}
}

// touchPlacement begins transactions that try to replace the row of a shard, on each worker because the test
// does not know which has the shard.
func touchPlacement(t *testing.T, shard int64) (all []*sqlx.Tx) {
	t.Helper()
	for _, url := range citusWorkerURLs(t) {
		tx := mustOpen(t, url, 1).MustBegin()
		t.Cleanup(func() { _ = tx.Rollback() }) // after Rollback it does nothing
		tx.MustExec("UPDATE pg_dist_placement SET groupid = groupid WHERE shardid = $1", shard)
		all = append(all, tx)
	}
	return all
}

func shardOf(t *testing.T, s *postgres.Store, org incident.OrganizationID) (shard int64) {
	t.Helper()
	mustDo(t, s.Pool().Get(&shard, "SELECT get_shard_id_for_distribution_column($1::text::regclass, $2::text)", s.Schema()+".incident", string(org)))
	return shard
}

// A move that was rolled back leaves a trace in the row of its shard. Reads still share a call.
func TestCitus_readsAfterFailedMove(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_failed_", workers != nil), citusURL(t), workers)
		orgs := routedOrganizations()
		_, reads := incidentsOf(t, s, orgs)
		for _, org := range orgs {
			for _, tx := range touchPlacement(t, shardOf(t, s, org)) {
				mustDo(t, tx.Rollback())
			}
		}
		mustShareWithoutRun(t, s, reads)
	})
}

// incidentsOf makes an incident of each organization.
func incidentsOf(t *testing.T, s *postgres.Store, orgs []incident.OrganizationID) (keys []incident.Key, reads []func(context.Context) loaded) {
	t.Helper()
	m := mustManager(t, s)
	for _, org := range orgs {
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
		mustDo(t, err)
		keys, reads = append(keys, inc.Key()), append(reads, loadKey(s, inc.Key()))
		mustDo(t, reads[len(reads)-1](t.Context()).err)
	}
	return keys, reads
}

// Reads together see what another process has written since a shard moved, of which the store knows
// nothing.
func TestCitus_readsAfterMove(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_moved_", workers != nil), citusURL(t), workers)
		orgs := routedOrganizations()
		keys, reads := incidentsOf(t, s, orgs)
		if n := moveShards(t, s.Pool(), s.Schema(), "block_writes"); n == 0 {
			t.Fatal("no shard was moved")
		}
		other := mustManager(t, mustNew(t, mustOpen(t, citusURL(t), 4), &postgres.Options{Schema: s.Schema(), Citus: true}))
		for _, key := range keys {
			mustDo(t, only(other.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical})))
		}
		for i, result := range readTogether(t.Context(), t, s, reads...) {
			if l := receive(t, result); l.err != nil || l.state.Incident.Version < 2 {
				t.Errorf("%s: version %d, %v, want that after the move", orgs[i], l.state.Incident.Version, l.err)
			}
		}
	})
}

// While a move copies a shard, which it has locked, no read waits for it. While it commits, reads of other shards
// do not wait.
func TestCitus_readsBesideMove(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_beside_", workers != nil), citusURL(t), workers)
		var orgs []incident.OrganizationID
		var shards []int64
		locked := 0
		for _, org := range routedOrganizations() {
			shard := shardOf(t, s, org)
			if orgs == nil || shard != shards[0] || locked < 2 { // reads that wait keep their connections
				orgs, shards = append(orgs, org), append(shards, shard)
			}
			if shard == shards[0] {
				locked++
			}
		}
		_, reads := incidentsOf(t, s, orgs)
		var tx []*sqlx.Tx // on each worker, because the test does not know which has the shard
		for _, url := range citusWorkerURLs(t) {
			mover := mustOpen(t, url, 1).MustBegin()
			defer mover.Rollback() //nolint:errcheck // after Rollback it does nothing
			mover.MustExec(fmt.Sprintf("SELECT lock_shard_metadata(7, ARRAY[%d])", shards[0]))
			tx = append(tx, mover)
		}
		for _, result := range readTogether(t.Context(), t, s, reads...) {
			mustDo(t, receive(t, result).err)
		}
		tx = append(tx, touchPlacement(t, shards[0])...)
		results := readTogether(t.Context(), t, s, reads...)
		for i, result := range results {
			if shards[i] != shards[0] {
				mustDo(t, receive(t, result).err)
			} else if len(result) > 0 {
				t.Errorf("the read of %s does not wait for the move", orgs[i])
			}
		}
		for _, mover := range tx {
			mustDo(t, mover.Rollback())
		}
		for i, result := range results {
			if shards[i] == shards[0] {
				mustDo(t, receive(t, result).err)
			}
		}
	})
}
