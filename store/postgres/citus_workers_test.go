//go:build citus

package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// routedOrganizations are on all shards, so many are there.
func routedOrganizations() (all []incident.OrganizationID) {
	for n := range 40 {
		all = append(all, incident.OrganizationID(fmt.Sprint("Büro, \"routes\" ", strings.Repeat("x", n), n)))
	}
	return all
}

// mustRoute makes tables, and a store with a connection to each worker.
func mustRoute(t *testing.T, name, coordinator string, workers func(string) *sqlx.DB) *postgres.Store {
	t.Helper()
	pool := mustOpen(t, citusURL(t)+fmt.Sprintf("&options=-ccitus.shard_count%%3D%d", citusShards), 4)
	opts := mustCitusSchema(t, pool, fmt.Sprintf("incident_%d_%s", os.Getpid(), name))
	opts.CitusWorker = workers
	return mustNew(t, mustOpen(t, coordinator, 4), &opts)
}

// mustUse writes to organizations, and reads that again.
func mustUse(t *testing.T, s *postgres.Store, orgs ...incident.OrganizationID) {
	t.Helper()
	m := mustManager(t, s)
	for _, org := range orgs {
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
		if err == nil {
			_, err = m.Comment(t.Context(), inc.Key(), comment)
		}
		if err != nil {
			t.Fatalf("%s: %v", org, err)
		}
		page, err := m.Activities(t.Context(), inc.Key(), incident.ActivityFilter{})
		last := incident.Activity{}
		if n := len(page.Activities); n > 0 {
			last = page.Activities[n-1]
		}
		if state, failed := s.Load(t.Context(), inc.Key()); err != nil || failed != nil || state.Incident.Title != "Down" || last.Comment != comment.Comment {
			t.Fatalf("%s: %+v, %v, %+v, %v", org, state, failed, page, err)
		}
	}
}

// serverOf returns the server that has an organization.
func serverOf(t *testing.T, s *postgres.Store, org incident.OrganizationID) (group int64) {
	t.Helper()
	err := s.Pool().Get(&group, `SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column($1::text::regclass, $2::text)`,
		s.Schema()+".incident", string(org))
	if err != nil {
		t.Fatal(err)
	}
	return group
}

// awaitRoutes waits until the statements of each organization go to the server that has it.
func awaitRoutes(t *testing.T, s *postgres.Store, orgs ...incident.OrganizationID) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var wrong []string
		for _, org := range orgs {
			if got, want := s.CitusRoute(t.Context(), string(org)), serverOf(t, s, org); got != want {
				wrong = append(wrong, fmt.Sprintf("%s: server %d, want %d", org, got, want))
				mustUse(t, s, org)
			}
		}
		if wrong == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(strings.Join(wrong, "\n"))
		}
	}
}

// Statements about an organization go to the server that has it: also while the coordinator is away.
func TestCitus_workers(t *testing.T) {
	proxy := pgtest.NewProxy(t, citusURL(t))
	s := mustRoute(t, "workers", proxy.URL(), openCitusWorkers(t, 4))
	orgs := routedOrganizations()
	mustUse(t, s, orgs...)
	servers := map[int64]bool{}
	for _, org := range orgs {
		got := s.CitusRoute(t.Context(), string(org))
		if want := serverOf(t, s, org); got != want {
			t.Errorf("statements about %q go to server %d, want %d", org, got, want)
		}
		servers[got] = true
	}
	if len(servers) < 2 {
		t.Errorf("all organizations are on servers %v, want two", servers)
	}
	proxy.Refuse()
	mustUse(t, s, orgs...)
	err := s.InTx(t.Context(), func(incident.Store) error { return nil })
	if !errors.Is(err, incident.ErrUnavailable) {
		t.Errorf("without the coordinator InTx() = %v, want ErrUnavailable", err)
	}
}

// Pools that lead to another worker, to the coordinator or to other tables are found out.
func TestCitus_workersWrong(t *testing.T) {
	right := openCitusWorkers(t, 4)
	swapped := func(address string) *sqlx.DB {
		for other := range citusWorkerURLs(t) {
			if other != address {
				return right(other)
			}
		}
		return nil
	}
	coordinator := mustOpen(t, citusURL(t), 4)
	_, other := startServer(t)
	for name, workers := range map[string]func(string) *sqlx.DB{
		"swapped":     swapped,
		"coordinator": func(string) *sqlx.DB { return coordinator },
		"plain":       func(string) *sqlx.DB { return other },
		"none":        func(string) *sqlx.DB { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := mustRoute(t, "wrong_"+name, citusURL(t), workers)
			orgs := routedOrganizations()
			mustUse(t, s, orgs...)
			for _, org := range orgs {
				if got := s.CitusRoute(t.Context(), string(org)); got != 0 {
					t.Errorf("statements about %q go to server %d", org, got)
				}
			}
		})
	}
}

// A worker that cannot be reached, restarts, or loses its connections is used again later.
func TestCitus_workersAway(t *testing.T) {
	proxies, pools := []*pgtest.Proxy{}, map[string]*sqlx.DB{}
	for address, url := range citusWorkerURLs(t) {
		p := pgtest.NewProxy(t, url)
		proxies, pools[address] = append(proxies, p), mustOpen(t, p.URL(), 4)
	}
	s := mustRoute(t, "away", citusURL(t), func(address string) *sqlx.DB { return pools[address] })
	orgs := routedOrganizations()
	awaitRoutes(t, s, orgs...)
	for _, p := range proxies {
		p.Refuse()
	}
	mustUse(t, s, orgs...)
	for _, org := range orgs {
		if got := s.CitusRoute(t.Context(), string(org)); got != 0 {
			t.Errorf("statements about %q go to server %d, which is away", org, got)
		}
	}
	for _, p := range proxies {
		p.Heal()
	}
	awaitRoutes(t, s, orgs...)
}

// After a move, an old route leads to the new place of the organization.
func TestCitus_workersMoved(t *testing.T) {
	s := mustRoute(t, "moved", citusURL(t), openCitusWorkers(t, 4))
	orgs := routedOrganizations()
	awaitRoutes(t, s, orgs...)
	if n := moveShards(t, s.Pool(), s.Schema(), "block_writes"); n == 0 {
		t.Fatal("no shard was moved")
	}
	mustUse(t, s, orgs...)
	awaitRoutes(t, s, orgs...)
}

// A session on a worker whose prepared statements are gone is replaced. Behind a pooler it stays, and has
// them prepared again.
func TestCitus_workersForget(t *testing.T) {
	t.Run("direct", func(t *testing.T) { workersForget(t, false, func(url string) string { return url }) })
	t.Run("pooled", func(t *testing.T) {
		workersForget(t, true, func(url string) string {
			return pgtest.NewPgBouncer(t, url, "default_pool_size = 1") + "&binary_parameters=yes"
		})
	})
}

func workersForget(t *testing.T, isPooled bool, through func(url string) string) {
	pools := map[string]*sqlx.DB{}
	for address, url := range citusWorkerURLs(t) {
		pools[address] = mustOpen(t, through(url), 1)
	}
	s := mustRoute(t, "forget", citusURL(t), func(address string) *sqlx.DB { return pools[address] })
	orgs := routedOrganizations()
	awaitRoutes(t, s, orgs...)
	mustUse(t, s, orgs...)
	mustForget(t, pools)
	mustUse(t, s, orgs...)
	for _, org := range orgs {
		if got, want := s.CitusRoute(t.Context(), string(org)), serverOf(t, s, org); got != want {
			t.Errorf("statements about %q go to server %d, want %d", org, got, want)
		}
	}
	_, reads := incidentsOf(t, s, orgs[:6])
	mustForget(t, pools)
	if isPooled { // each read that goes alone has its statement prepared again
		for _, result := range readTogether(t.Context(), t, s, reads...) {
			mustDo(t, receive(t, result).err)
		}
	}
	mustShareWithoutRun(t, s, reads)
}

// mustForget has the only session of each pool lose its prepared statements.
func mustForget(t *testing.T, pools map[string]*sqlx.DB) {
	t.Helper()
	for _, pool := range pools {
		var names []string
		if err := pool.Select(&names, `SELECT name FROM pg_prepared_statements WHERE name LIKE 'incident\_%'`); err != nil || names == nil {
			t.Fatalf("the session has no statements prepared: %v", err)
		}
		for _, name := range names {
			pool.MustExec("DEALLOCATE " + name)
		}
	}
}
