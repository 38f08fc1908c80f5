package postgres_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// insertIncidents inserts n incidents of 100 organizations, without anything that belongs to
// them. The organizations are org-0 to org-99, and n is a multiple of their number.
func insertIncidents(t *testing.T, s *postgres.Store, n int) {
	t.Helper()
	const organizations = 100
	for _, text := range []string{
		`INSERT INTO incident_organization SELECT 'org-' || g, $2::bigint / $1::bigint FROM generate_series(0, $1 - 1) g`,
		`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
		SELECT 'org-' || g % $1::bigint, 1 + g / $1, 1, 1, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}'
		FROM generate_series(0, $2::bigint - 1) g`,
	} {
		if _, err := s.Pool().ExecContext(t.Context(), text, organizations, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Pool().ExecContext(t.Context(), "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// A commit that changes more incidents than a call may return does not stop the feed: the
// feed resets soon, without collecting all changes, and the cache is emptied.
func TestFeed_backlog(t *testing.T) {
	changed := 60_000
	if long {
		changed = 2_500_000
	}
	s, _ := newStore(t)
	insertIncidents(t, s, changed)
	m := mustManager(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	key := incident.Key{OrganizationID: "org-0", Identifier: 1}
	get := func() incident.Incident {
		t.Helper()
		inc, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return inc
	}
	before := get()
	began, err := s.Changes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	running.Go(func() { // keeps the feed awake
		for ; ; time.Sleep(10 * time.Millisecond) {
			select {
			case <-stop:
				return
			default:
				_, _ = m.Get(t.Context(), key)
			}
		}
	})
	defer close(stop)
	s.Pool().MustExecContext(t.Context(), "UPDATE incident SET version = version + 1, changed = pg_current_xact_id()")
	committed := time.Now()
	for asked := time.Now(); get().Version == before.Version; asked = time.Now() {
		if asked.Sub(committed) > time.Second {
			t.Fatalf("version %d is served a second after version %d was committed", before.Version, before.Version+1)
		}
		time.Sleep(time.Millisecond)
	}
	for m.Stats().Feed.Resets == 0 || m.Stats().Feed.State != incident.FeedFollowing {
		if time.Since(committed) > 10*time.Second {
			t.Fatalf("10 s after the commit the feed is %+v", m.Stats().Feed)
		}
		time.Sleep(time.Millisecond)
	}
	// In the long form the server is so busy that answers may take longer than the lease.
	if n := m.Stats().Feed.Resets; n != 1 && !long {
		t.Errorf("the feed has reset %d times, want 1", n)
	}
	t.Logf("%d changes: the feed follows again %v after the commit", changed, time.Since(committed).Round(time.Millisecond))
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	answer, err := s.Changes(t.Context(), began.Position)
	runtime.ReadMemStats(&to)
	if err != nil || !answer.Reset || len(answer.Incidents) > 0 {
		t.Errorf("Changes() = %d incidents, reset %v, %v; want a reset", len(answer.Incidents), answer.Reset, err)
	}
	if mib := (to.TotalAlloc - from.TotalAlloc) >> 20; mib > 64 {
		t.Errorf("the answer has taken %d MiB", mib)
	}
}
