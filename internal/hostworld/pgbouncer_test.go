package hostworld_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// bouncing returns pools that connect through a PgBouncer, and the error of the first
// call for pools that cannot be used, "" for the others.
func bouncing() []bounced {
	unprepared := postgres.Options{Unprepared: true}
	const binary, exec = "&binary_parameters=yes", "&default_query_exec_mode=exec"
	return []bounced{
		{world{name: "pq", open: openPQ}, "binary_parameters=yes"},
		{world{name: "pq, Unprepared", open: openPQ, options: unprepared}, "binary_parameters=yes"},
		{world{name: "pq, binary", open: openPQ, dsn: binary}, ""},
		{world{name: "pq, binary, Unprepared", open: openPQ, dsn: binary, options: unprepared}, ""},
		{world{name: "otelsql over pq", open: openTracedPQ}, "binary_parameters=yes"},
		{world{name: "otelsql over pq, binary", open: openTracedPQ, dsn: binary}, ""},
		{world{name: "pgx", open: openPGX}, "default_query_exec_mode=exec"},
		{world{name: "pgx, Unprepared", open: openPGX, options: unprepared}, "default_query_exec_mode=exec"},
		{world{name: "pgx, describe_exec", open: openPGX, dsn: "&default_query_exec_mode=describe_exec"}, "default_query_exec_mode=exec"},
		{world{name: "pgx, exec", open: openPGX, dsn: exec}, ""},
		{world{name: "pgx, cache_describe", open: openPGX, dsn: "&default_query_exec_mode=cache_describe"}, ""},
		{world{name: "pgx, simple_protocol", open: openPGX, dsn: "&default_query_exec_mode=simple_protocol"}, ""},
		{world{name: "otelsql over pgx, exec", open: openTracedPGX, dsn: exec}, ""},
		{world{name: "otelsql over pgx", open: openTracedPGX}, "default_query_exec_mode=exec"},
	}
}

type bounced struct {
	world
	remedy string
}

// preparedSettings returns the ways in which PgBouncer treats prepared statements.
func preparedSettings(t *testing.T) []string {
	t.Helper()
	version, err := exec.Command("pgbouncer", "--version").Output()
	if err != nil {
		version, err = exec.Command("/usr/sbin/pgbouncer", "--version").Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(version), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if major == 1 && minor < 21 {
		return []string{""}
	}
	return []string{"max_prepared_statements = 0", "max_prepared_statements = 100"}
}

// Through a pooler the store works, or the first call reports the setting to change. The
// store never writes or returns a wrong row.
func TestPgBouncer(t *testing.T) {
	server := pgtest.NewDatabase(t)
	admin := world{open: openPQ, conns: 4}.mustMigrate(t, server)
	direct := mustManager(t, mustNew(t, admin, nil))
	sizes := []int{1, 5}
	if long {
		sizes = []int{1, 3, 5}
	}
	for _, prepared := range preparedSettings(t) {
		for _, size := range sizes {
			// All pools share the connections, with whatever is prepared on them.
			through := pgtest.NewPgBouncer(t, server, fmt.Sprint("default_pool_size = ", size), prepared)
			for i, b := range bouncing() {
				for _, conns := range []int{1, 6} {
					name := fmt.Sprintf("%s/pool of %d/%s/%d conns", prepared, size, b.name, conns)
					t.Run(name, func(t *testing.T) {
						b.conns = conns
						checkBounced(t, b, through, direct, incident.OrganizationID(fmt.Sprint(prepared, size, i, conns)))
					})
				}
			}
		}
	}
}

func checkBounced(t *testing.T, b bounced, through string, direct incident.Manager, org incident.OrganizationID) {
	t.Helper()
	r, err := direct.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
	if err != nil {
		t.Fatal(err)
	}
	// Both stand for processes of the host.
	managers := []incident.Manager{
		mustManager(t, mustNew(t, b.mustOpen(t, through), &b.options)),
		mustManager(t, mustNew(t, b.mustOpen(t, through), &b.options)),
	}
	for _, m := range managers {
		_, err := m.Get(t.Context(), r.Key())
		switch {
		case b.remedy != "":
			if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), b.remedy) {
				t.Errorf("the first call ends with %v, want an error that says %q", err, b.remedy)
			}
		case err != nil:
			t.Errorf("the first call ends with %v", err)
		}
	}
	seen, following := writeBounced(t, managers, r.Key(), b.remedy != "")
	checkUsers(t, direct, r.Key(), seen, following)
}

// writeBounced writes from several goroutines, and returns the acknowledged writes.
func writeBounced(t *testing.T, managers []incident.Manager, key incident.Key, refused bool) (seen, following []incident.UserID) {
	t.Helper()
	const writers, each = 6, 8
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		m := managers[w%len(managers)]
		all.Go(func() {
			for i := range each {
				user := incident.UserID(fmt.Sprint("user", w, "-", i))
				_, err1 := m.MarkSeen(t.Context(), key, user+"-saw")
				_, err2 := m.Subscribe(t.Context(), key, user+"-follows")
				got, err3 := m.Get(t.Context(), key)
				if err := errors.Join(err1, err2, err3); (err != nil) != refused {
					t.Errorf("calls end with %v", err)
				}
				if err3 == nil && got.Key() != key {
					t.Errorf("Get() of %v returns %v", key, got.Key())
				}
				mu.Lock()
				if err1 == nil {
					seen = append(seen, user+"-saw")
				}
				if err2 == nil {
					following = append(following, user+"-follows")
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return seen, following
}

// checkUsers checks that exactly the acknowledged writes are stored.
func checkUsers(t *testing.T, direct incident.Manager, key incident.Key, seen, following []incident.UserID) {
	t.Helper()
	by, err1 := direct.SeenBy(t.Context(), key)
	subscribers, err2 := direct.Subscribers(t.Context(), key)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var gotSeen, gotFollowing []incident.UserID
	for _, s := range by {
		gotSeen = append(gotSeen, s.UserID)
	}
	for _, s := range subscribers {
		gotFollowing = append(gotFollowing, s.UserID)
	}
	for _, list := range [][]incident.UserID{seen, following, gotSeen, gotFollowing} {
		slices.Sort(list)
	}
	if !slices.Equal(seen, gotSeen) || !slices.Equal(following, gotFollowing) {
		t.Errorf("stored are %d seen and %d following, want the %d and %d that were acknowledged:\n%v\n%v",
			len(gotSeen), len(gotFollowing), len(seen), len(following), gotSeen, gotFollowing)
	}
}

// PgBouncer survives calls whose contexts end at any moment. Version 1.18.0 crashes if the connection of a
// request to cancel is closed early.
func TestPgBouncer_cancels(t *testing.T) {
	server := pgtest.NewDatabase(t)
	world{open: openPQ, conns: 1}.mustMigrate(t, server)
	takes := time.Second
	if long {
		takes = 15 * time.Second
	}
	for _, w := range []world{
		{name: "pq", open: openPQ, dsn: "&binary_parameters=yes"},
		{name: "pgx", open: openPGX, dsn: "&default_query_exec_mode=exec"},
	} {
		t.Run(w.name, func(t *testing.T) {
			w.conns = 16
			m := mustManager(t, mustNew(t, w.mustOpen(t, pgtest.NewPgBouncer(t, server, bouncerOf(5)...)), nil))
			r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for caller := range 24 {
				all.Go(func() {
					for i, start := 0, time.Now(); time.Since(start) < takes; i++ {
						ctx, cancel := context.WithTimeout(t.Context(), rand.N(6*time.Millisecond))
						_, err := m.MarkSeen(ctx, r.Key(), incident.UserID(fmt.Sprint(caller, "-", i)))
						if err == nil {
							_, err = m.SeenBy(ctx, r.Key())
						}
						if err != nil && !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("a call with a short context = %v, want no other error than the context's", err)
						}
						cancel()
					}
				})
			}
			all.Wait()
		})
	}
}
