//go:build citus && unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// newCitusTables makes tables on Citus, and returns the options for them and a URL of the coordinator.
func newCitusTables(t *testing.T, workers func(string) *sqlx.DB) (opts postgres.Options, url string) {
	t.Helper()
	admin := mustOpen(t, fmt.Sprintf("%s&options=-ccitus.shard_count%%3D%d", citusURL(t), citusShards), 1)
	opts = mustCitusSchema(t, admin, fmt.Sprintf("incident_%d_%d_writes", os.Getpid(), citusTurns.Add(1)))
	opts.CitusWorker = workers
	return opts, citusURL(t) + "&search_path=" + opts.Schema
}

// eachCitusBatch runs a test both ways, with organizations that exist, and whose creations have lanes.
func eachCitusBatch(t *testing.T, run func(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID)) {
	for name, workers := range map[string]func(string) *sqlx.DB{"coordinator": nil, "workers": openCitusWorkers(t, 8)} {
		t.Run(name, func(t *testing.T) {
			opts, url := newCitusTables(t, workers)
			s := mustNew(t, mustOpen(t, url, 8), &opts)
			m, orgs := mustManager(t, s), manyOrgs(16)
			mustExist(t, m, orgs...)
			_, errs := together(t, s, m, downIn(1, orgs...)...) // registers the text
			wantNone(t, errs)
			run(t, s, m, orgs)
		})
	}
}

// greatestBatch returns the greatest number of incidents of a transaction. The tables are on several servers,
// whose transactions may have the same number.
func greatestBatch(t *testing.T, s *postgres.Store) (n int) {
	t.Helper()
	mustDo(t, s.Pool().Get(&n, `
		SELECT max(n) FROM (SELECT count(*) AS n FROM incident GROUP BY changed, get_shard_id_for_distribution_column('incident', organization_id)) x`))
	return n
}

// Creations of organizations of a server share a call, and so do firings. Firings of the same slot make a
// single incident.
func TestCitus_writes(t *testing.T) {
	eachCitusBatch(t, func(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
		rounds := inFewTransactions(t, s, 12, func() {
			_, errs := together(t, s, m, downIn(3, orgs...)...)
			wantNone(t, errs)
		})
		fired := 0
		inFewTransactions(t, s, 12, func() {
			fired++
			fireTogether(t, s, m, orgs, incident.AlertRuleID(fmt.Sprint("rule ", fired)), 2)
		})
		fireTogether(t, s, m, orgs, "rule 0", 1)
		if n := s.Crowd(); n != 0 {
			t.Errorf("after all creations %d are in progress", n)
		}
		checkOrgs(t, s, m, 2+3*rounds+2*fired+1, orgs...)
	})
}

// fireTogether fires twice in each organization, for that many slots.
func fireTogether(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID, rule incident.AlertRuleID, slots int) {
	t.Helper()
	keys := make([]incident.Key, 2*len(orgs))
	var group sync.WaitGroup
	waiting, release := s.HoldLanes()
	for i := range keys {
		firing := incident.Firing{
			Slot:  incident.Slot{OrganizationID: orgs[i/2], AlertRuleID: rule, ProjectID: incident.ProjectID(fmt.Sprint("p", i%slots))},
			Title: "Down", TriggerID: incident.TriggerID(fmt.Sprint("t", i%2)), Severity: incident.StatusCritical,
		}
		group.Go(func() {
			r, err := m.Fire(t.Context(), firing)
			for errors.Is(err, incident.ErrUnknownOutcome) { // a call was slow, and the other firing opened an incident
				r, err = m.Fire(t.Context(), firing)
			}
			if keys[i] = r.Key(); err != nil {
				t.Errorf("%s: %v", orgs[i/2], err)
			}
		})
	}
	eventually(t, "the firings wait", func() bool { return waiting() == len(keys) })
	release()
	group.Wait()
	for i := range orgs {
		if isSame := keys[2*i] == keys[2*i+1]; isSame != (slots == 1) {
			t.Errorf("firings for %d slots opened %s and %s", slots, keys[2*i], keys[2*i+1])
		}
	}
}

// Creations go alone without the function for several.
func TestCitus_writesWithoutFunction(t *testing.T) {
	eachCitusBatch(t, func(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
		s.Pool().MustExec("DROP FUNCTION incident_run_many(text, uuid, text, text[], text[])")
		_, errs := together(t, s, m, downIn(2, orgs...)...)
		wantNone(t, errs)
		mustExist(t, m, orgs...)
		checkOrgs(t, s, m, 5, orgs...)
	})
}

// A transaction of a host that holds an organization holds up no other on Citus either, and gets further
// organizations.
func TestCitus_writesBesideHost(t *testing.T) {
	eachCitusBatch(t, func(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
		createBesideHost(t, s, m, orgs)
		checkOrgs(t, s, m, 6, orgs...)
	})
}

// While a shard is locked by a move, creations in other shards do not wait for it.
func TestCitus_writesBesideMove(t *testing.T) {
	eachCitusBatch(t, func(t *testing.T, s *postgres.Store, m incident.Manager, orgs []incident.OrganizationID) {
		isLocked := map[incident.OrganizationID]bool{}
		for _, org := range orgs {
			var is bool
			mustDo(t, s.Pool().Get(&is, `SELECT get_shard_id_for_distribution_column('incident', $1::text)
				= get_shard_id_for_distribution_column('incident', $2::text)`, string(org), string(orgs[0])))
			isLocked[org] = is
		}
		var movers []*sqlx.Tx // on each worker, because the test does not know which has the shard
		for _, url := range citusWorkerURLs(t) {
			mover := mustOpen(t, url, 1).MustBegin()
			defer mover.Rollback() //nolint:errcheck // after Rollback it does nothing
			movers = append(movers, mover)
		}
		var shard int64
		mustDo(t, s.Pool().Get(&shard, "SELECT get_shard_id_for_distribution_column('incident', $1::text)", string(orgs[0])))
		for _, mover := range movers {
			mover.MustExec(fmt.Sprintf("SELECT lock_shard_metadata(7, ARRAY[%d])", shard))
		}
		free, locked := make(chan error, len(orgs)), make(chan error, len(orgs))
		waiting, release := s.HoldLanes()
		n := 0
		for _, c := range downIn(1, orgs...) {
			to := free
			if isLocked[c.OrganizationID] {
				to = locked
				n++
			}
			go func() { to <- only(m.Create(t.Context(), c)) }()
		}
		eventually(t, "the creations wait", func() bool { return waiting() == len(orgs) })
		release()
		for range len(orgs) - n {
			mustDo(t, receive(t, free))
		}
		if len(locked) > 0 {
			t.Error("a creation does not wait for the move")
		}
		for _, mover := range movers {
			mustDo(t, mover.Rollback())
		}
		for range n {
			mustDo(t, receive(t, locked))
		}
		checkOrgs(t, s, m, 3, orgs...)
	})
}

// The load of a slot is a part of the crowd: the firing that asks for it may create an incident next.
func TestCitus_writesAfterLoads(t *testing.T) {
	l, s := newCitusLossyStore(t, false, 2)
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "api"}
	load := func() {
		_, err := s.LoadSlot(t.Context(), slot)
		mustDo(t, err)
	}
	load() // registers the text
	var during atomic.Int64
	l.proxy.Before(1, func() { during.Store(int64(s.Crowd())) })
	load()
	if n, after := during.Load(), s.Crowd(); n != 1 || after != 0 {
		t.Errorf("during a load the crowd has %d members, and %d after it, want 1 and 0", n, after)
	}
}

// Creations in calls of several organizations are written once each, whichever request or reply is lost.
func TestCitus_lostReplyOfWrites(t *testing.T) {
	for name, atWorker := range map[string]bool{"coordinator": false, "worker": true} {
		t.Run(name, func(t *testing.T) {
			l, through := newCitusLossyStore(t, atWorker, 2)
			m := mustManager(t, through)
			orgs := manyOrgs(8)
			mustExist(t, m, orgs...)
			met := 0
			for n := 1; n <= 6; n++ {
				for _, fault := range []pgtest.Fault{pgtest.LoseReply, pgtest.LoseRequest} {
					l.empty(t)
					mustExist(t, m, orgs...)
					trips := l.proxy.RoundTrips()
					l.proxy.Do(fault, []pgtest.Cut{pgtest.CutFIN, pgtest.CutRST}[n%2], n, 1)
					results, errs := together(t, through, m, downIn(2, orgs...)...)
					l.proxy.Heal()
					wantNone(t, errs)
					if l.proxy.RoundTrips() >= trips+n {
						met++
					}
					for i, r := range results {
						if got, err := l.past.Get(t.Context(), r.Key()); err != nil || got.Title != r.Title {
							t.Errorf("creation %d made %s with the title %q, %v, want %q", i, r.Key(), got.Title, err, r.Title)
						}
					}
					checkOrgs(t, l.store, l.past, 3, orgs...)
					if t.Failed() {
						t.Fatalf("fault %d at round trip %d", fault, n)
					}
				}
			}
			if met == 0 {
				t.Error("no round trip was lost")
			}
		})
	}
}

// Organizations are written by many callers at once while shards move in both modes, and replies are lost.
// Each acknowledged creation is there once.
func TestCitus_writesDuringMoves(t *testing.T) {
	for name, atWorker := range map[string]bool{"coordinator": false, "worker": true} {
		for _, callers := range []int{16, 64} {
			t.Run(fmt.Sprint(name, " ", callers), func(t *testing.T) { createDuringMoves(t, atWorker, callers) })
		}
	}
}

func createDuringMoves(t *testing.T, atWorker bool, callers int) {
	l, through := newCitusLossyStore(t, atWorker, 16)
	m, orgs := mustManager(t, through), manyOrgs(16)
	mustExist(t, m, orgs...)
	c := &creators{m: m, written: make([]atomic.Int64, len(orgs)), unknown: make([]atomic.Int64, len(orgs))}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { c.create(ctx, t, orgs, i) })
	}
	all.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			l.proxy.Do(pgtest.LoseReply, []pgtest.Cut{pgtest.CutFIN, pgtest.CutRST}[n%2], 40, 1)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	moves := 0
	for _, mode := range []string{"block_writes", "force_logical"} {
		moves += moveShards(t, l.pool, through.Schema(), mode)
	}
	stop()
	all.Wait()
	l.proxy.Heal()
	sum := int64(0)
	for i, org := range orgs {
		written, unknown := c.written[i].Load(), c.unknown[i].Load()
		found := int64(len(listAll(t, l.past, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize}))) - 1
		if found < written || found > written+unknown {
			t.Errorf("%s has %d incidents, want %d and at most %d more", org, found, written, unknown)
		}
		sum += written
	}
	if moves < 2 || sum < int64(callers) {
		t.Errorf("%d moves and %d creations are too few to show something", moves, sum)
	}
	t.Logf("%d moves, %d creations, at most %d in a transaction", moves, sum, greatestBatch(t, l.store))
}

// creators create and fire incidents, and count them by organization.
type creators struct {
	m                incident.Manager
	written, unknown []atomic.Int64
}

func (c *creators) create(ctx context.Context, t *testing.T, orgs []incident.OrganizationID, caller int) {
	for n := caller; ctx.Err() == nil; n++ {
		i := n % len(orgs)
		call := context.WithoutCancel(ctx) // a move may take long
		var err error
		isFiring := n/len(orgs)%2 == 1
		if !isFiring {
			_, err = c.m.Create(call, incident.NewIncident{OrganizationID: orgs[i], Title: "Down"})
		} else {
			_, err = c.m.Fire(call, incident.Firing{
				Slot:  incident.Slot{OrganizationID: orgs[i], AlertRuleID: incident.AlertRuleID(fmt.Sprint(caller, " ", n)), ProjectID: "api"},
				Title: "Down", TriggerID: "t", Severity: incident.StatusCritical,
			})
		}
		switch {
		case err == nil:
			c.written[i].Add(1)
		case errors.Is(err, incident.ErrUnknownOutcome):
			c.unknown[i].Add(1)
		case isFiring && errors.Is(err, incident.ErrUnavailable): // the load of its slot had no answer, and nothing may be written
		default:
			t.Errorf("%s: %v", orgs[i], err)
			return
		}
	}
}
