package postgres_test

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// unknownChanges is a [slog.Handler] that counts how often a cache starts over because the changes
// since the last answer are not known. A cache starts over also if the server is too busy to answer
// twice, which shows nothing about the changes.
type unknownChanges struct {
	slog.Handler
	n atomic.Int64
}

func (u *unknownChanges) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" && strings.HasSuffix(a.Value.String(), "are not known") {
			u.n.Add(1)
		}
		return true
	})
	return nil
}

// mustCountResets is mustManager with a count of the unknown changes.
func mustCountResets(t *testing.T, s incident.Store) (incident.Manager, *unknownChanges) {
	t.Helper()
	u := &unknownChanges{Handler: slog.NewTextHandler(io.Discard, nil)}
	m, err := incident.New(s, &incident.Options{Now: clock, Notifier: incident.NotifyElsewhere, Logger: slog.New(u)})
	if err != nil {
		t.Fatal(err)
	}
	return m, u
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
	m, unknown := mustCountResets(t, s)
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
		if time.Since(committed) > time.Minute {
			t.Fatalf("a minute after the commit the feed is %+v", m.Stats().Feed)
		}
		time.Sleep(time.Millisecond)
	}
	if n := unknown.n.Load(); n > 1 {
		t.Errorf("the feed has reset %d times, want once", n)
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
