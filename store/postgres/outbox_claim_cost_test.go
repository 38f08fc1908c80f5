package postgres_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// queueEach queues a notification in each of n organizations, due after the delay. If
// isReady, the rows are as a Manager queues them.
func queueEach(t *testing.T, s *postgres.Store, n int, delay time.Duration, isReady bool) {
	t.Helper()
	for _, text := range []string{
		`INSERT INTO incident_organization SELECT 'org-' || g, 1 FROM generate_series(1, $1::bigint) g`,
		`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
		SELECT 'org-' || g, 1, 1, 1, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}' FROM generate_series(1, $1::bigint) g`,
		`INSERT INTO incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
			date_added, notification_uuid, user_id, comment)
		SELECT 'org-' || g, 1, 1, 0, 0, 3, 0, 0, now(), gen_random_uuid(), 'ada', 'Hm' FROM generate_series(1, $1::bigint) g`,
	} {
		s.Pool().MustExecContext(t.Context(), text, n)
	}
	s.Pool().MustExecContext(t.Context(), `
		INSERT INTO incident_outbox (organization_id, identifier, replayed, next, last, due, since, ready)
		SELECT 'org-' || g, 1, 0, 1, 1, now() + $2::bigint * interval '1 microsecond', now(), $3 FROM generate_series(1, $1::bigint) g`,
		n, delay.Microseconds(), isReady)
	s.Pool().MustExecContext(t.Context(), "VACUUM ANALYZE")
}

func anyClaim() incident.ClaimQuery {
	return incident.ClaimQuery{Limit: 8, PerOrganization: 8, Lease: time.Minute}
}

// pagesOf returns the number of pages that a claim of at most 8 reads, and the number of
// its claims.
func pagesOf(t *testing.T, s *postgres.Store) (pages, claims int) {
	t.Helper()
	return pagesOfClaim(t, s, "", "UPDATE \"public\".incident_outbox o", "'', '{}', '{}', 8, '{}', 8, 60000000, 1")
}

// pagesOfNamed is pagesOf for a notifier with a name.
func pagesOfNamed(t *testing.T, s *postgres.Store, notifier string) (pages, claims int) {
	t.Helper()
	return pagesOfClaim(t, s, notifier, "UPDATE \"public\".incident_queue o", "'', '"+notifier+"', '{}', '{}', 8, '{}', 8, 60000000, 1")
}

// pagesOfClaim explains the claim that contains part.
func pagesOfClaim(t *testing.T, s *postgres.Store, notifier, part, args string) (pages, claims int) {
	t.Helper()
	q := anyClaim()
	q.Notifier = notifier
	q.After = "~" // after every organization: it claims nothing, and the statement gets prepared
	if _, err := s.Claim(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	var text string
	for _, sent := range s.Statements() {
		if strings.Contains(sent, "claimed AS") && strings.Contains(sent, part) {
			text = sent
		}
	}
	tx := s.Pool().MustBegin()
	defer tx.Rollback()
	tx.MustExec("SET LOCAL plan_cache_mode = force_generic_plan")
	tx.MustExec("PREPARE explained AS " + text)
	defer tx.MustExec("DEALLOCATE explained")
	var plan []byte
	if err := tx.Get(&plan, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained ("+args+")"); err != nil {
		t.Fatal(err)
	}
	var explained []struct {
		Plan struct {
			Hit  int     `json:"Shared Hit Blocks"`
			Read int     `json:"Shared Read Blocks"`
			Rows float64 `json:"Actual Rows"` // has decimals since PostgreSQL 18
		}
	}
	if err := json.Unmarshal(plan, &explained); err != nil {
		t.Fatal(err)
	}
	return explained[0].Plan.Hit + explained[0].Plan.Read, int(explained[0].Plan.Rows)
}

// The same holds if a single organization has the whole outbox.
func TestStore_claimCostOfOneOrganization(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	queueMany(t, s, bulky, 20_000)
	if pages, claims := pagesOf(t, s); claims != 8 || pages > 400 {
		t.Errorf("a claim reads %d pages, and returns %d rows, want 8", pages, claims)
	}
}

// A claim reads only the rows that it claims, whatever else is in the outbox.
func TestStore_claimCost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n       int
		delay   time.Duration
		isReady bool
		claims  int
		pages   int
	}{
		"delayed":     {20_000, time.Hour, false, 1, 20}, // the row of an answer without claims
		"ready":       {20_000, 0, true, 8, 400},
		"delay ended": {20_000, -time.Second, false, 8, 1000}, // the claim makes a batch ready
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStore(t)
			queueEach(t, s, c.n, c.delay, c.isReady)
			pages, claims := pagesOf(t, s)
			if claims != c.claims || pages > c.pages {
				t.Errorf("a claim reads %d pages, want at most %d, and returns %d rows, want %d", pages, c.pages, claims, c.claims)
			}
		})
	}
}

// queueSpread queues n notifications in each of several organizations, whose rows lie on many
// pages.
func queueSpread(t *testing.T, s *postgres.Store, organizations, n int) {
	t.Helper()
	for _, text := range []string{
		`INSERT INTO incident_organization SELECT 'org-' || o, $2::bigint FROM generate_series(1, $1::bigint) o`,
		`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
		SELECT 'org-' || o, g, 1, 1, 0, 0, 1, 1, now(), now(), now(), 'Down', 'down', '', '', '{}'
		FROM generate_series(1, $2::bigint) g, generate_series(1, $1::bigint) o`,
		`INSERT INTO incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
			date_added, notification_uuid, user_id, comment)
		SELECT 'org-' || o, g, 1, 0, 0, 3, 0, 0, now(), gen_random_uuid(), 'ada', 'Hm'
		FROM generate_series(1, $2::bigint) g, generate_series(1, $1::bigint) o`,
		`INSERT INTO incident_outbox (organization_id, identifier, replayed, next, last, due, since, ready)
		SELECT 'org-' || o, g, 0, 1, 1, now(), now(), true
		FROM generate_series(1, $2::bigint) g, generate_series(1, $1::bigint) o ORDER BY g`,
	} {
		s.Pool().MustExecContext(t.Context(), text, organizations, n)
	}
	s.Pool().MustExecContext(t.Context(), "VACUUM ANALYZE")
}

// Claims do not read the entries of delivered rows, also where many rows were queued by one
// statement.
func TestStore_claimCostAfterDeliveries(t *testing.T) {
	s, _ := newStore(t)
	queueSpread(t, s, 100, 200)
	before, _ := pagesOf(t, s)
	for range 20 {
		claims, err := s.Claim(t.Context(), anyClaim())
		if err != nil || len(claims) != 8 {
			t.Fatalf("%d claims, %v, want 8", len(claims), err)
		}
		var all []incident.Settlement
		for _, c := range claims {
			all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
		if _, err := s.Settle(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	mustWait(t, func() (bool, error) { // an ANALYZE of the server keeps the entries until its end
		after, _ := pagesOf(t, s)
		return after <= before+40, nil
	})
}

// remindEach sets n reminders of a notifier, each due after the delay and a second later than
// the one before.
func remindEach(t *testing.T, s *postgres.Store, notifier string, n int, delay time.Duration) {
	t.Helper()
	s.Pool().MustExecContext(t.Context(), `
		INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, due, since, unless, status, notification_uuid)
		SELECT 'org-' || g, 1, $1, 'late for ' || $1, 0, extract(epoch FROM at) * 1000000, extract(epoch FROM at) * 1000000, at, at, 0, 1, gen_random_uuid()
		FROM (SELECT g, now() + $3::bigint * interval '1 microsecond' + g * interval '1 second' AS at FROM generate_series(1, $2::bigint) g) g`,
		notifier, n, delay.Microseconds())
	s.Pool().MustExecContext(t.Context(), "VACUUM ANALYZE incident_queue")
}

// A claim costs the same with 100,000 reminders that are not due.
func TestStore_claimCostOfReminders(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	queueEach(t, s, 200, 0, true)
	s.Pool().MustExecContext(t.Context(), `
		INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, due, since, ready)
		SELECT organization_id, identifier, 'mail', '', 0, 1, 1, now(), now(), true FROM incident_outbox`)
	s.Pool().MustExecContext(t.Context(), "VACUUM ANALYZE incident_queue")
	unnamed, _ := pagesOf(t, s)
	named, _ := pagesOfNamed(t, s, "mail")
	remindEach(t, s, "", 100_000, time.Hour)
	remindEach(t, s, "mail", 100_000, time.Hour)
	for name, c := range map[string]struct {
		before int
		pages  func() (pages, claims int)
	}{
		"":     {unnamed, func() (pages, claims int) { return pagesOf(t, s) }},
		"mail": {named, func() (pages, claims int) { return pagesOfNamed(t, s, "mail") }},
	} {
		if pages, claims := c.pages(); claims != 8 || pages*10 > c.before*11 {
			t.Errorf("%q: a claim reads %d pages with reminders, and %d without, and returns %d rows, want 8", name, pages, c.before, claims)
		}
	}
}

// Claims do not read the entries of delivered reminders.
func TestStore_claimCostAfterReminders(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	queueEach(t, s, 500, time.Hour, false)
	before, _ := pagesOf(t, s)
	remindEach(t, s, "", 500, -time.Hour)
	delivered := 0
	for range 100 {
		var all []incident.Settlement
		for _, c := range mustClaim(t, s, anyClaim()) {
			all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
		mustSettle(t, s, all...)
		delivered += len(all)
	}
	if delivered != 500 {
		t.Errorf("%d reminders were delivered, want 500", delivered)
	}
	mustWait(t, func() (bool, error) { // an ANALYZE of the server keeps the entries until its end
		pages, _ := pagesOf(t, s)
		return pages <= before+40, nil
	})
}

// A claim takes a single round trip, unless a reminder for the notifier without a name is due.
func TestStore_claimRoundTrips(t *testing.T) {
	t.Parallel()
	p, s := behindProxy(t, nil)
	for _, notifier := range []string{"", "mail"} {
		remindEach(t, s, notifier, 1000, time.Hour)
	}
	claim := func(notifier string) (trips, claims int) {
		t.Helper()
		q := anyClaim()
		q.Notifier = notifier
		before := p.RoundTrips()
		found, err := s.Claim(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return p.RoundTrips() - before, len(found)
	}
	queueEach(t, s, 4, 0, true)
	for n := range 2 { // the first time the statements are prepared
		for _, notifier := range []string{"", "mail"} {
			if trips, claims := claim(notifier); n > 0 && trips != 1 || claims > 0 && n > 0 {
				t.Errorf("%q: a claim takes %d round trips, want 1, and returns %d rows", notifier, trips, claims)
			}
		}
	}
	s.Pool().MustExec("UPDATE incident_queue SET due = now(), since = now(), next = 1, last = 1 WHERE organization_id IN ('org-1', 'org-2')")
	if _, claims := claim(""); claims != 2 {
		t.Errorf("%d reminders were claimed, want 2", claims)
	}
	s.Pool().MustExec("UPDATE incident_queue SET due = now(), ready = true WHERE organization_id IN ('org-3', 'org-4')")
	if trips, claims := claim(""); claims != 2 || trips != 2 {
		t.Errorf("a claim of reminders takes %d round trips, want 2, and returns %d rows, want 2", trips, claims)
	}
	if trips, claims := claim(""); claims != 0 || trips != 1 {
		t.Errorf("after the reminders a claim takes %d round trips, want 1, and returns %d rows", trips, claims)
	}
}
