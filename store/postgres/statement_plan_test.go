package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/store/postgres"
)

// filters has a filter for each condition, and for some combinations.
func filters() map[string]incident.IncidentFilter {
	start := time.Date(2024, time.June, 1, 0, 0, 0, 0, time.UTC)
	return map[string]incident.IncidentFilter{
		"none":                {},
		"projects":            {Projects: []incident.ProjectID{"project-02", "project-04", "project-06"}},
		"a common project":    {Projects: []incident.ProjectID{"all"}},
		"active":              {Statuses: incident.ActiveStatuses()},
		"closed":              {Statuses: []incident.Status{incident.StatusClosed}},
		"rule":                {AlertRuleID: "busy"},
		"title":               {Title: "LATENCY"},
		"window":              {Start: start, End: start.AddDate(0, 2, 0)},
		"window of a project": {Start: start, Projects: []incident.ProjectID{"all"}},
		"all together": {
			Start: start, Title: "high", AlertRuleID: "busy", Projects: []incident.ProjectID{"all"},
			Statuses: []incident.Status{incident.StatusClosed, incident.StatusCritical},
		},
		"access":              {Access: access("project-02", "project-04")},
		"access to little":    {Access: access()},
		"access to many":      {Access: access(many(incident.MaxAccessProjects)...)},
		"access of a project": {Access: access("project-02"), Projects: []incident.ProjectID{"all"}},
		"access to a rule":    {Access: access("project-02"), AlertRuleID: "busy"},
		"access to closed":    {Access: access("project-02"), Statuses: []incident.Status{incident.StatusClosed}},
		"access to active":    {Access: access("project-02"), Statuses: incident.ActiveStatuses(), Title: "LATENCY"},
		"access in a window":  {Access: access("project-02"), Start: start, End: start.AddDate(0, 2, 0)},
		"many projects":       {Projects: many(incident.MaxProjects)},
		"active of a project": {Projects: []incident.ProjectID{"project-02"}, Statuses: incident.ActiveStatuses()},
		"label":               {Labels: labels("team", "payments")},
		"labels":              {Labels: labels("team", "payments", "service", "service-05")},
		"title of a label":    {Labels: labels("team", "payments"), Title: "answers"},
		"label in a window":   {Labels: labels("team", "payments"), Start: start, End: start.AddDate(0, 2, 0)},
		"label of a project":  {Labels: labels("team", "payments"), Projects: []incident.ProjectID{"all"}, Access: access("project-05")},
		"label of a rule":     {Labels: labels("team", "payments"), AlertRuleID: "busy"},
		"assignee":            {Assignee: "ada"},
		"label of an assignee": {
			Labels: labels("service", "service-05"), Assignee: "ada", Statuses: []incident.Status{incident.StatusClosed},
		},
		"not acknowledged":              {Acknowledged: new(false)},
		"not acknowledged of a project": {Acknowledged: new(false), Projects: []incident.ProjectID{"all"}},
		"closed of a project":           {Projects: []incident.ProjectID{"project-02"}, Statuses: []incident.Status{incident.StatusClosed}},
	}
}

// labels returns labels from pairs of a name and a value.
func labels(pairs ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

func access(projects ...incident.ProjectID) *incident.ProjectAccess {
	return &incident.ProjectAccess{Projects: projects}
}

// many returns n projects. Few of them exist.
func many(n int) (projects []incident.ProjectID) {
	for i := range n {
		projects = append(projects, incident.ProjectID(fmt.Sprintf("project-%02d", i)))
	}
	return projects
}

// No statement reads a whole table, and no list sorts all matching rows, whatever the
// arguments.
func TestStore_plansReadNoWholeTable(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	if err := pgload.Load(t.Context(), s.Pool(), s.Schema(), 30_000); err != nil {
		t.Fatal(err)
	}
	var tables []string
	mustDo(t, s.Pool().Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = $1`, s.Schema()))
	for _, table := range tables { // the statistics below are those that the plans use
		s.Pool().MustExec(`ALTER TABLE ` + s.Schema() + `.` + table + ` SET (autovacuum_enabled = off)`)
	}
	for _, text := range []string{
		`INSERT INTO incident_outbox (organization_id, identifier, replayed, next, last, due, since, attempts)
		SELECT organization_id, identifier, identifier % 2, 1, activities, CASE identifier % 2 WHEN 0 THEN now() ELSE 'infinity' END, now(), 3
		FROM incident`,
		`INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, due, since, attempts)
		SELECT organization_id, identifier, 'mail', '', identifier % 2, 1, activities, CASE identifier % 2 WHEN 0 THEN now() ELSE 'infinity' END, now(), 3
		FROM incident`,
		`INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, due, since, unless, status, notification_uuid)
		SELECT organization_id, identifier, CASE identifier % 3 WHEN 0 THEN '' ELSE 'mail' END, 'late', 0, 1, 1,
			now() + (identifier % 100 - 1) * interval '1 hour', now() + (identifier % 100 - 1) * interval '1 hour', 0, 1, gen_random_uuid()
		FROM incident`,
		`INSERT INTO incident_deleted (organization_id, identifier, version, activities, date_deleted)
		SELECT 'gone', n, 2, 3, now() FROM generate_series(1, 30000) n`,
		`INSERT INTO incident_active (organization_id, digest, date_started, identifier)
		SELECT 'gone', gen_random_uuid(), now(), n FROM generate_series(1, 30000) n`,
		`INSERT INTO incident_organization (organization_id, incidents) SELECT 'gone' || n, n FROM generate_series(1, 10000) n`,
	} {
		if _, err := s.Pool().ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	analyzeWhole(t, s.Pool())
	mail := map[string]incident.NamedNotifier{"mail": {Notifier: incident.NotifyElsewhere}}
	for _, notifiers := range []map[string]incident.NamedNotifier{nil, mail} {
		m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere, Notifiers: notifiers})
		if err != nil {
			t.Fatal(err)
		}
		for range incident.DefaultPageSize + 1 {
			n := incident.NewIncident{OrganizationID: incident.OrganizationID(pgload.Org(0)), Title: "The network is down"}
			if _, err := m.Create(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		callEverything(t, m)
		mustBatch(t, s, 1, m)
	}
	mustReadTogether(t, s, 1)
	for _, notifier := range []string{"", "mail"} {
		callOutbox(t, s, notifier)
	}
	callFeed(t, s)
	callRetention(t, s)
	statements := s.Statements()
	if len(statements) < 60 {
		t.Errorf("only %d statements were sent", len(statements))
	}
	for _, text := range statements {
		if strings.Contains(text, "GROUP BY notifier") { // it may read all rows
			continue
		}
		plan := explain(t, s.Pool(), text)
		plan = regexp.MustCompile(`Seq Scan on incident_(schema|task)`).ReplaceAllString(plan, "a few rows")
		plan = joinWithinStatement.ReplaceAllString(plan, "a join of rows of the statement")
		if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Hash Join") ||
			strings.HasPrefix(strings.TrimSpace(text), "SELECT") && strings.Contains(plan, "Bitmap") {
			t.Errorf("the statement\n%s\nhas the plan\n%s", text, plan)
		}
	}
}

// joinWithinStatement matches a join of the members of a batch with the rows of a CTE: it reads no
// table.
var joinWithinStatement = regexp.MustCompile(`Hash Join .*\n.*Hash Cond: .*\n.*->  Function Scan on .*\n.*->  Hash .*\n.*->  CTE Scan on .*`)

// analyzeWhole analyzes tables of at most 60,000 rows without sampling, so that their plans do not
// depend on chance.
func analyzeWhole(t *testing.T, pool *sqlx.DB) {
	t.Helper()
	tx := pool.MustBegin()
	defer tx.Rollback()
	tx.MustExec("SET LOCAL default_statistics_target = 200")
	tx.MustExec("ANALYZE")
	mustDo(t, tx.Commit())
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// explain returns the generic plan of a statement.
func explain(t *testing.T, pool *sqlx.DB, text string) string {
	t.Helper()
	most := 0
	for _, p := range parameter.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(p[1])
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
	}
	args := strings.TrimSuffix(strings.Repeat("NULL,", most), ",")
	tx := pool.MustBegin()
	defer tx.Rollback()
	tx.MustExec("SET LOCAL plan_cache_mode = force_generic_plan")
	tx.MustExec("PREPARE explained AS " + text)
	defer tx.MustExec("DEALLOCATE explained")
	var lines []string
	if err := tx.Select(&lines, "EXPLAIN EXECUTE explained ("+args+")"); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return strings.Join(lines, "\n")
}

// callEverything makes the store send all its statements.
func callEverything(t *testing.T, m incident.Manager) {
	t.Helper()
	ctx := t.Context()
	for _, op := range operations("new rule") {
		r, err := op.prepare(ctx, m)
		if err == nil && op.name != "EditComment" {
			err = op.call(ctx, m, r.Key())
		}
		if err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		closeSlot(ctx, t, m, "new rule")
	}
	for i, w := range writes() {
		key := mustBeginAnew(t, m, fmt.Sprint("rule of write ", i))
		if err := w.call(ctx, m, key); err != nil && w.name != "Fire that joins" && w.name != "Resolve" {
			t.Logf("%s: %v", w.name, err)
		}
	}
	callReplays(ctx, t, m)
	for name, f := range filters() {
		f.OrganizationID = incident.OrganizationID(pgload.Org(0))
		if _, err := m.Count(ctx, f); err != nil {
			t.Fatalf("count by %s: %v", name, err)
		}
		if _, err := m.Report(ctx, reportBy(f)); err != nil {
			t.Fatalf("report by %s: %v", name, err)
		}
		page, err := m.List(ctx, f)
		if err != nil || len(page.Incidents) == 0 {
			t.Fatalf("list by %s: %d incidents, %v", name, len(page.Incidents), err)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			t.Fatalf("list by %s has a single page", name)
		}
		next, err := m.List(ctx, f)
		if f.Cursor = next.Previous; err == nil {
			_, err = m.List(ctx, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// reportBy returns a report with the conditions of a list.
func reportBy(f incident.IncidentFilter) incident.ReportFilter {
	start := time.Date(2024, time.June, 1, 0, 0, 0, 0, time.UTC)
	return incident.ReportFilter{
		OrganizationID: f.OrganizationID, Access: f.Access, Projects: f.Projects, AlertRuleID: f.AlertRuleID, Labels: f.Labels,
		Start: start, End: start.AddDate(0, 0, 90),
	}
}

// callFeed makes the store send all statements of the feed.
func callFeed(t *testing.T, s *postgres.Store) {
	t.Helper()
	other := s.Pool().MustBegin()
	defer other.Rollback()
	position := incident.FeedPosition("")
	for step := range 4 {
		if step == 2 {
			other.MustExec("SELECT pg_current_xact_id()") // in progress in the later positions
		}
		changes, err := s.Changes(t.Context(), position)
		if err != nil {
			t.Fatal(err)
		}
		position = changes.Position
	}
}

// callOutbox makes the store send all statements about the outbox of a notifier.
func callOutbox(t *testing.T, s *postgres.Store, notifier string) {
	t.Helper()
	ctx := t.Context()
	org := incident.OrganizationID(pgload.Org(0))
	var all []incident.Settlement
	for _, except := range [][]incident.OrganizationID{nil, {org}} {
		var claims []incident.Claim
		var err error
		for range 20 { // a claim that takes long returns what it has found until then
			q := incident.ClaimQuery{Limit: 100, PerOrganization: 50, Except: except, Lease: time.Minute}
			q.Notifier = notifier
			claims, err = s.Claim(ctx, q)
			if err != nil || len(claims) > 0 {
				break
			}
		}
		if err != nil || len(claims) == 0 {
			t.Fatalf("Claim = %d claims, %v", len(claims), err)
		}
		for i, c := range claims {
			all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.Outcome(i%4 + 1), Error: "busy"})
		}
	}
	for range 2 { // the second time no ticket is valid
		if busy, err := s.Settle(ctx, all); err != nil || len(busy) > 0 {
			t.Fatalf("Settle = %v, %v", busy, err)
		}
	}
	if _, err := s.Backlog(ctx); err != nil {
		t.Fatal(err)
	}
	parked, err := s.Parked(ctx, incident.ParkedQuery{OrganizationID: org, Notifier: notifier, Limit: 10})
	if err != nil || len(parked) == 0 {
		t.Fatalf("Parked = %v, %v", parked, err)
	}
	key := parked[0].Incident
	ofOne := incident.ParkedQuery{OrganizationID: org, Notifier: notifier, Identifier: key.Identifier, Limit: 1000}
	ofAll := incident.ParkedQuery{OrganizationID: org, Notifier: notifier, Limit: 10}
	if n, err := s.Replay(ctx, ofOne); err != nil || n.Count == 0 {
		t.Fatalf("Replay = %+v, %v", n, err)
	}
	if n, err := s.DiscardParked(ctx, ofAll); err != nil || n.Count == 0 {
		t.Fatalf("DiscardParked = %+v, %v", n, err)
	}
	if n, err := s.Discard(ctx, notifier, 10); err != nil || n < 10 {
		t.Fatalf("Discard = %d, %v", n, err)
	}
	callReminders(t, s, key, notifier)
}

// callReminders makes the store send all statements about reminders.
func callReminders(t *testing.T, s *postgres.Store, key incident.Key, notifier string) {
	t.Helper()
	ctx := t.Context()
	state, err := s.Load(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	w := reminderWrite(state.Incident, notifier, "soon", time.Hour)
	if ok, err := s.SetReminder(ctx, w); err != nil || !ok {
		t.Fatalf("SetReminder = %v, %v", ok, err)
	}
	w.ExpectVersion++
	if _, err := s.SetReminder(ctx, w); !errors.Is(err, incident.ErrVersionConflict) {
		t.Fatalf("SetReminder of another version = %v", err)
	}
	if all, err := s.Reminders(ctx, key); err != nil || len(all) == 0 {
		t.Fatalf("Reminders = %v, %v", all, err)
	}
	if err := s.CancelReminder(ctx, key, "soon"); err != nil {
		t.Fatal(err)
	}
}

// mustBeginAnew is mustBegin with a rule of its own.
func mustBeginAnew(t *testing.T, m incident.Manager, rule string) incident.Key {
	t.Helper()
	ctx := t.Context()
	r, err := m.Fire(ctx, with(firing, rule))
	if err == nil {
		_, err = m.LinkProject(ctx, r.Key(), "db")
	}
	if err == nil {
		_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: "Looking"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Key()
}

// callReplays makes the store look for earlier writes.
func callReplays(ctx context.Context, t *testing.T, m incident.Manager) {
	t.Helper()
	n := incident.NewIncident{
		OrganizationID: "acme", Title: "Down", DetectionUUID: uuid.New(),
		AlertRuleID: "replayed", Projects: []incident.ProjectID{"api", "db"},
	}
	r, err := m.Create(ctx, n)
	if err == nil {
		_, err = m.Create(ctx, n)
	}
	c := incident.NewComment{UserID: "ada", Comment: "Twice", NotificationUUID: uuid.New()}
	for range 2 {
		if err == nil {
			_, err = m.Comment(ctx, r.Key(), c)
		}
	}
	if err == nil {
		err = m.InTx(ctx, func(tx incident.Manager) error {
			return only(tx.UpdateStatus(ctx, r.Key(), incident.StatusUpdate{Status: incident.StatusClosed}))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}
