//go:build citus

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// Citus commits in two phases if several servers have changed: the workers prepare, the coordinator
// commits, and then the workers commit what they have prepared. If a worker does not, Citus warns
// and reports success. It repeats that each minute, but not in these tests before recoverPhases.

// setCitus changes a setting of a server, and waits until its sessions have it. The test's end resets it.
func setCitus(t *testing.T, admin *sqlx.DB, name, value string) {
	t.Helper()
	set := func(command, want string) {
		admin.MustExec("ALTER SYSTEM " + command)
		admin.MustExec("SELECT pg_reload_conf()")
		for got, deadline := "?", time.Now().Add(30*time.Second); got != want; time.Sleep(10 * time.Millisecond) {
			if err := admin.Get(&got, "SHOW "+name); err != nil || time.Now().After(deadline) {
				t.Fatalf("%s is %q, %v, want %q", name, got, err, want)
			}
		}
	}
	before := ""
	if err := admin.Get(&before, "SHOW "+name); err != nil {
		t.Fatal(err)
	}
	set("SET "+name+" TO '"+value+"'", value)
	t.Cleanup(func() { set("RESET "+name, before) })
}

// phases has the second phase of a commit fail at workers.
type phases struct {
	coordinator *sqlx.DB
	workers     []*sqlx.DB // whose second phase fails
}

// newPhases stops the recovery of transactions, for the test.
func newPhases(t *testing.T, addresses ...string) *phases {
	t.Helper()
	p := &phases{coordinator: mustOpen(t, citusURL(t), 1)}
	for _, address := range addresses {
		p.workers = append(p.workers, mustOpen(t, citusWorkerURLs(t)[address], 1))
	}
	t.Cleanup(func() { p.recover(t) })
	setCitus(t, p.coordinator, "citus.recover_2pc_interval", "-1")
	return p
}

// lose makes a call whose first commit in two phases loses the second. The coordinator's commit waits
// for a standby that does not exist, and the connections to the workers end meanwhile.
func (p *phases) lose(t *testing.T, call func() error) error {
	t.Helper()
	const name = "synchronous_standby_names"
	p.coordinator.MustExec("ALTER SYSTEM SET " + name + " TO nobody")
	p.coordinator.MustExec("SELECT pg_reload_conf()")
	release := func() {
		p.coordinator.MustExec("ALTER SYSTEM RESET " + name)
		p.coordinator.MustExec("SELECT pg_reload_conf()")
	}
	defer release()
	time.Sleep(time.Second) // the sessions must have the setting; otherwise the call loses nothing and the test fails
	done := make(chan error, 1)
	go func() { done <- call() }()
	await(t, "no commit waits for a standby", func() bool {
		return mustCount(t, p.coordinator, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") > 0
	})
	for _, worker := range p.workers {
		if mustCount(t, worker, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'PREPARE TRANSACTION%'") == 0 {
			t.Error("a worker has not prepared the transaction")
		}
		await(t, "the connections to a worker do not end", func() bool {
			return mustCount(t, worker, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'PREPARE TRANSACTION%'") == 0
		})
	}
	release()
	err := <-done
	for _, worker := range p.workers {
		if mustCount(t, worker, "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0 {
			t.Error("the second phase has not failed")
		}
	}
	return err
}

// recover has Citus repeat the second phase.
func (p *phases) recover(t *testing.T) {
	t.Helper()
	p.coordinator.MustExec("SELECT recover_prepared_transactions()")
	for _, worker := range p.workers {
		if n := mustCount(t, worker, "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"); n != 0 {
			t.Errorf("%d transactions are still prepared", n)
		}
	}
}

func mustCount(t *testing.T, pool *sqlx.DB, query string) (n int) {
	t.Helper()
	if err := pool.Get(&n, query); err != nil {
		t.Fatal(err)
	}
	return n
}

// await waits until a condition holds.
func await(t *testing.T, failure string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(failure)
		}
	}
}

// spreadOrganizations returns an organization of each worker, by the worker's address.
func spreadOrganizations(t *testing.T, s *postgres.Store) map[string]incident.OrganizationID {
	t.Helper()
	all := map[string]incident.OrganizationID{}
	for n := range 100 {
		org, address := fmt.Sprint("organization ", n), ""
		err := s.Pool().Get(&address, `SELECT nodename || ':' || nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
			WHERE shardid = get_shard_id_for_distribution_column($1, $2::text)`, s.Schema()+".incident", org)
		if err != nil {
			t.Fatal(err)
		}
		all[address] = incident.OrganizationID(org)
	}
	if len(all) < 2 {
		t.Fatalf("the organizations are on %d servers, want 2", len(all))
	}
	return all
}

// The first use of a statement registers its text on all servers. If a worker does not get it, the text goes with
// each call, so that no call fails.
func TestCitus_registrationLost(t *testing.T) {
	for name, workers := range map[string]func(string) *sqlx.DB{"coordinator": nil, "workers": openCitusWorkers(t, 4)} {
		t.Run(name, func(t *testing.T) {
			s := mustRoute(t, "registration_"+name, citusURL(t), workers)
			m := mustManager(t, s)
			orgs := spreadOrganizations(t, s)
			var addresses []string
			for address := range orgs {
				addresses = append(addresses, address)
			}
			p := newPhases(t, addresses...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := p.lose(t, func() error {
				_, err := m.Create(ctx, incident.NewIncident{OrganizationID: orgs[addresses[0]], Title: "Down"})
				return err
			})
			if err != nil {
				t.Errorf("Create() = %v", err)
			}
			again := mustRouteAgain(t, s, workers)
			for _, org := range orgs {
				mustUse(t, s, org)
				mustUse(t, again, org)
			}
			p.recover(t)
			for _, org := range orgs {
				mustUse(t, s, org)
			}
		})
	}
}

// mustRouteAgain returns a store of another process on the tables.
func mustRouteAgain(t *testing.T, s *postgres.Store, workers func(string) *sqlx.DB) *postgres.Store {
	t.Helper()
	return mustNew(t, mustOpen(t, citusURL(t), 4), &postgres.Options{Schema: s.Schema(), Citus: true, CitusWorker: workers})
}

// While a worker cannot register texts, calls that need another text are made nevertheless.
func TestCitus_registrationWaits(t *testing.T) {
	s := mustRoute(t, "registration_waits", citusURL(t), nil)
	for address := range spreadOrganizations(t, s) {
		locked := mustOpen(t, citusWorkerURLs(t)[address], 1)
		shard := ""
		if err := s.Pool().Get(&shard, "SELECT shard_name(logicalrelid, shardid) FROM pg_dist_shard WHERE logicalrelid = $1::regclass", s.Schema()+".incident_statement"); err != nil {
			t.Fatal(err)
		}
		tx := locked.MustBegin()
		tx.MustExec("SET LOCAL citus.enable_manual_changes_to_shards TO on")
		defer tx.Rollback() //nolint:errcheck // it only locks
		tx.MustExec("LOCK TABLE " + shard + " IN EXCLUSIVE MODE")
	}
	m := mustManager(t, s)
	for _, org := range spreadOrganizations(t, s) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		r, err := m.Create(ctx, incident.NewIncident{OrganizationID: org, Title: "Down"})
		if err == nil {
			_, err = m.Comment(ctx, r.Key(), comment)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A transaction over two workers, of which one does not commit what it has prepared, succeeds. Its part of
// that worker is locked, and appears when Citus has repeated the commit: to the Manager, and to a follower.
func TestCitus_secondPhaseLost(t *testing.T) {
	s := mustRoute(t, "phases", citusURL(t), nil)
	m := mustManager(t, s)
	follower := mustManager(t, mustRouteAgain(t, s, nil))
	following, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}) // of Run
	go func() {
		defer close(ended)
		_ = follower.Run(following)
	}()
	defer func() { stop(); <-ended }()
	var keys []incident.Key
	var addresses []string
	for address, org := range spreadOrganizations(t, s) {
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
		if err == nil {
			_, err = m.Comment(t.Context(), r.Key(), incident.NewComment{UserID: "ada", Comment: "before"})
		}
		if err != nil {
			t.Fatal(err)
		}
		keys, addresses = append(keys, r.Key()), append(addresses, address)
	}
	comment := func(ctx context.Context) error {
		return m.InTx(ctx, func(tx incident.Manager) error {
			for _, key := range keys {
				if _, err := tx.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "both"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	p := newPhases(t, addresses[1])
	if err := p.lose(t, func() error { return comment(t.Context()) }); err != nil {
		t.Errorf("InTx() = %v, want success", err)
	}
	if got := commentsOf(t, m, keys[0])["both"]; got != 1 {
		t.Errorf("the part of the other worker is there %d times, want 1", got)
	}
	if got := commentsOf(t, m, keys[1])["both"]; got != 0 {
		t.Errorf("the part is there %d times before it is committed", got)
	}
	limited, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := m.Comment(limited, keys[1], incident.NewComment{UserID: "ada", Comment: "later"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write to the locked incident = %v, want its deadline", err)
	}
	p.recover(t)
	_, err := m.Comment(t.Context(), keys[1], incident.NewComment{UserID: "ada", Comment: "last"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if got := commentsOf(t, m, key); got["both"] != 1 {
			t.Errorf("%v: the comments are %v, want the transaction's", key, got)
		}
		awaitVersion(t, follower, key, mustVersion(t, m, key))
	}
}

// commentsOf counts the comments of an incident.
func commentsOf(t *testing.T, m incident.Manager, key incident.Key) map[string]int {
	t.Helper()
	page, err := m.Activities(t.Context(), key, incident.ActivityFilter{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, a := range page.Activities {
		found[a.Comment]++
	}
	return found
}

// Deletions change the servers of their organization alone, so that they commit in one phase, and need no
// other server.
func TestCitus_deletionPhases(t *testing.T) {
	s := mustRoute(t, "deletions", citusURL(t), nil)
	delete := func() {
		m := mustManager(t, s)
		for _, org := range spreadOrganizations(t, s) {
			mustUse(t, s, org)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := m.DeleteOrganization(ctx, org); err != nil {
				t.Errorf("DeleteOrganization() = %v", err)
			}
		}
	}
	delete() // registers the statements
	// A commit in two phases waits for a standby that does not exist.
	setCitus(t, mustOpen(t, citusURL(t), 1), "synchronous_standby_names", "nobody")
	delete()
}
