//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// victim is a database in which processes that delete are killed. Its incidents are those of
// pgload, some with parked notifications.
type victim struct {
	url     string
	pool    *sqlx.DB
	store   *postgres.Store
	manager incident.Manager  // follows, with a warm cache
	keys    []incident.Key    // of all organizations
	before  map[string]string // the answers of the reads before the deletion
}

// loadedIncidents is the number of incidents of all organizations. Half are of deletedOrg.
const loadedIncidents = 100

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{before: map[string]string{}}
	v.url = pgtest.NewDatabaseLike(t, "loaded", func(url string) error {
		pool, err := sqlx.Open("postgres", url)
		if err != nil {
			return err
		}
		defer pool.Close()
		if err := errors.Join(postgres.Migrate(context.Background(), pool, nil), pgload.Load(context.Background(), pool, "public", loadedIncidents)); err != nil {
			return err
		}
		return parkSome(pool)
	})
	v.pool = mustOpen(t, v.url, 8)
	v.store = mustNew(t, v.pool, nil)
	m, err := incident.New(v.store, &incident.Options{Notifier: incident.NotifyElsewhere})
	mustDo(t, err)
	v.manager = m
	for _, org := range []incident.OrganizationID{deletedOrg, "org-001"} {
		page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		mustDo(t, err)
		for _, inc := range page.Incidents {
			v.keys = append(v.keys, inc.Key())
		}
	}
	if len(v.keys) <= loadedIncidents/2 {
		t.Fatalf("%d incidents are loaded", len(v.keys))
	}
	for _, key := range v.keys {
		maps.Copy(v.before, v.mustRead(t, key))
	}
	return v
}

// parkSome parks the notifications of comments on some of the incidents.
func parkSome(pool *sqlx.DB) error {
	s, err := postgres.New(pool, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere, Cache: incident.NoCache})
	if err != nil {
		return err
	}
	for id := int64(1); id <= 10; id++ {
		_, err := m.Comment(ctx, incident.Key{OrganizationID: deletedOrg, Identifier: id}, incident.NewComment{UserID: erasedUser, Comment: "Again"})
		if err != nil {
			return err
		}
	}
	claims, err := s.Claim(ctx, incident.ClaimQuery{Limit: 100, PerOrganization: 100, Lease: time.Minute})
	if err != nil || len(claims) != 10 {
		return fmt.Errorf("%d claims, %w", len(claims), err)
	}
	var all []incident.Settlement
	for _, c := range claims {
		all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: "ada is unknown"})
	}
	_, err = s.Settle(ctx, all)
	return err
}

// read returns the answers of the reads of an incident, without those that do not find it.
func (v *victim) read(ctx context.Context, key incident.Key) (map[string]string, error) {
	all := map[string]string{}
	var errs []error
	add := func(name string, answer any, err error) {
		if err == nil {
			all[name+" of "+key.String()] = fmt.Sprintf("%+v", answer)
		} else if !errors.Is(err, incident.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	got, err := v.manager.Get(ctx, key)
	add("Get", withoutPointers(got), err)
	d, err := v.manager.Details(ctx, key, erasedUser)
	d.Incident = withoutPointers(d.Incident)
	add("Details", d, err)
	log, err := v.manager.Activities(ctx, key, incident.ActivityFilter{Limit: incident.MaxPageSize})
	add("Activities", log, err)
	subscribers, err := v.manager.Subscribers(ctx, key)
	add("Subscribers", subscribers, err)
	return all, errors.Join(errs...)
}

// withoutPointers returns an incident with its response as text, for comparison.
func withoutPointers(inc incident.Incident) incident.Incident {
	inc.DateClosed = nil
	if inc.Response != nil {
		inc.Title += fmt.Sprintf(" for %+v", *inc.Response)
		inc.Response = nil
	}
	return inc
}

func (v *victim) mustRead(t *testing.T, key incident.Key) map[string]string {
	t.Helper()
	all, err := v.read(t.Context(), key)
	mustDo(t, err)
	return all
}

// check checks that each read finds an incident whole or not at all. Of an erasure, views,
// subscriptions and the rest are replaced in turn.
func (v *victim) check(way wayToDelete, got map[string]string) error {
	for read, text := range got {
		before := v.before[read]
		if text == before || way == byErasure && erased(text) == erased(before) {
			continue
		}
		return fmt.Errorf("%s was\n%s\nand is\n%s", read, before, text)
	}
	return nil
}

// erasable matches what an erasure changes beside the names of users.
var erasable = regexp.MustCompile(`(Version|Revision|HasSeen|IsSubscribed):\w+`)

// erased returns the answer of a read as it is after an erasure, without versions.
func erased(text string) string {
	return erasable.ReplaceAllString(strings.ReplaceAll(text, string(erasedUser), string(erasedAs)), "")
}

// look reads all incidents until ctx ends.
func (v *victim) look(ctx context.Context, t *testing.T, way wayToDelete) {
	for ctx.Err() == nil {
		for _, key := range v.keys {
			got, err := v.read(ctx, key)
			if ctx.Err() != nil {
				return
			}
			if err = errors.Join(err, v.check(way, got)); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// A process that deletes is killed before the reply to each of its statements, in turn. Nobody
// sees a part of an incident, the next process completes the deletion, and nothing is left behind.
func TestRetention_killed(t *testing.T) {
	t.Parallel()
	for _, way := range waysToDelete {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			trips := 0
			t.Run("not killed", func(t *testing.T) { trips = killDeleter(t, way, 0) })
			if trips == 0 {
				t.Fatal("the process has sent nothing")
			}
			step := max(trips/2, 1)
			if long {
				step = 1
			}
			for n := trips; n > step/2; n -= step {
				t.Run(strconv.Itoa(n), func(t *testing.T) { killDeleter(t, way, n) })
			}
			t.Logf("%d round trips", trips)
		})
	}
}

// killDeleter kills a process before the reply to its n-th round trip, and completes its work. If n
// is 0, the process completes it, and the number of its round trips is returned.
func killDeleter(t *testing.T, way wayToDelete, n int) (trips int) {
	t.Helper()
	v := newVictim(t)
	ctx, cancel := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looking.Go(func() { _ = v.manager.Run(ctx) }) // Run ends with its context
	looking.Go(func() { v.look(ctx, t, way) })
	proxy := pgtest.NewProxy(t, v.url+"&application_name=victim")
	c := startChild(t, task{URL: proxy.URL(), Deletes: &deletionTask{way}})
	done := bufio.NewScanner(c.stdout)
	if n > 0 {
		killed := make(chan struct{})
		proxy.Before(n, func() { c.kill(); close(killed) })
		if done.Scan() {
			proxy.Heal()
		} else {
			<-killed
		}
		t.Logf("killed before the reply to statement %d", n)
	} else if !done.Scan() {
		t.Fatal("the process has not completed its work")
	}
	trips = proxy.RoundTrips()
	c.kill()
	v.awaitEnd(t)
	for _, key := range v.keys {
		if err := v.check(way, v.mustRead(t, key)); err != nil {
			t.Errorf("after the kill at statement %d: %v", n, err)
			break
		}
	}
	v.complete(t, way, n)
	return trips
}

// awaitEnd waits until the server has ended the connections of the killed process.
func (v *victim) awaitEnd(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var n int
		mustDo(t, v.pool.Get(&n, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'victim'`))
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the connections of the killed process do not end")
		}
	}
}

// complete completes the deletion after a kill at the n-th round trip, and checks the result.
func (v *victim) complete(t *testing.T, way wayToDelete, n int) {
	t.Helper()
	m := v.manager.(incident.RetentionManager)
	active := loadedIncidents / 2 / 50
	switch way {
	case byRun:
		v.takeOver(t, long && n == 60)
		v.mustCount(t, active)
	case byPurge:
		_, err := m.Purge(t.Context(), incident.Purge{OrganizationID: deletedOrg, ClosedBefore: time.Now()})
		mustDo(t, err)
		v.mustCount(t, active)
	case byErasure:
		_, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: deletedOrg, UserID: erasedUser, As: erasedAs})
		mustDo(t, err)
		v.mustCount(t, loadedIncidents/2)
		for _, key := range v.keys[:loadedIncidents/2] {
			for read, text := range v.mustRead(t, key) {
				if strings.Contains(text, string(erasedUser)) {
					t.Errorf("%s names the erased user: %s", read, text)
				}
			}
		}
	case byOrganization:
		_, err := m.DeleteOrganization(t.Context(), deletedOrg)
		mustDo(t, err)
		v.mustCount(t, 0)
		if left, want := findText(t, v.store, string(deletedOrg)), (managertest.Places{"incident_organization.organization_id": 1}); !maps.Equal(left, want) {
			t.Errorf("the deleted organization is in the places %v, want %v", left, want)
		}
	}
	left := leftBehind(t, v.store)
	delete(left, "incident_deleted")
	if len(left) > 0 {
		t.Errorf("of deleted incidents remain the rows %v", left)
	}
	for _, key := range v.keys[loadedIncidents/2:] {
		for read, text := range v.mustRead(t, key) {
			if text != v.before[read] {
				t.Errorf("of another organization, %s was\n%s\nand is\n%s", read, v.before[read], text)
			}
		}
	}
}

// takeOver runs another process until it has purged everything. Unless it waits, the lease of the
// killed process ends before it begins.
func (v *victim) takeOver(t *testing.T, waits bool) {
	t.Helper()
	var left float64 // seconds, 0 without a lease
	mustDo(t, v.pool.Get(&left, `SELECT coalesce(max(extract(epoch FROM until - clock_timestamp())), 0) FROM incident_task`))
	if left > 60 {
		t.Fatalf("the killed process has the lease for %.0f s", left)
	}
	if !waits {
		v.pool.MustExec(`UPDATE incident_task SET until = until - interval '1 minute'`)
	}
	m, err := incident.New(v.store, retaining())
	mustDo(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := m.Count(t.Context(), incident.IncidentFilter{OrganizationID: deletedOrg, Statuses: []incident.Status{incident.StatusClosed}})
		mustDo(t, err)
		if c.ByStatus[incident.StatusClosed] == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("90 s after the kill, %d incidents are not purged", c.ByStatus[incident.StatusClosed])
		}
	}
}

// mustCount checks the number of incidents of deletedOrg, and that no incident is partly there.
func (v *victim) mustCount(t *testing.T, want int) {
	t.Helper()
	page, err := v.manager.List(t.Context(), incident.IncidentFilter{OrganizationID: deletedOrg, Limit: incident.MaxPageSize})
	if err != nil || len(page.Incidents) != want {
		t.Errorf("%d incidents are left, want %d, error %v", len(page.Incidents), want, err)
	}
}
