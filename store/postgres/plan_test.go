package postgres_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// fillSQL makes 60,000 incidents, half of them of the organization acme, with what
// plans depend on: how many rows there are of what.
const fillSQL = `
INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
	date_started, date_detected, date_added, date_closed, title, title_folded, alert_rule_id, query_id, projects)
SELECT org, n, 1, 3, 0, 2, status, 3, at, at, at, CASE WHEN status = 2 THEN at + (n % 50) * interval '1 hour' END,
	'Latency is high ' || n, 'latency is high ' || n,
	CASE WHEN n % 3 = 0 THEN 'busy' ELSE 'rule-' || n % 500 END, '', ARRAY['all', 'project-' || n % 14]
FROM (
	SELECT CASE WHEN i % 2 = 0 THEN 'acme' ELSE 'org-' || i % 99 END AS org, i AS n,
		CASE i % 20 WHEN 0 THEN 1 WHEN 1 THEN 10 WHEN 2 THEN 20 ELSE 2 END AS status,
		timestamptz '2024-01-01Z' + i * interval '10 minutes' AS at
	FROM generate_series(1000, 61000) i
) x;
INSERT INTO incident_organization SELECT organization_id, max(identifier) FROM incident GROUP BY 1;
INSERT INTO incident_project SELECT organization_id, unnest(projects), date_started, identifier FROM incident;
INSERT INTO incident_activity (organization_id, identifier, sequence, revision, call_id, type, value, previous_value,
	date_added, notification_uuid, user_id, comment)
SELECT organization_id, identifier, s, 0, 0, 3, 0, 0, date_added, gen_random_uuid(), 'ada', 'text'
FROM incident, generate_series(1, 3) s;
INSERT INTO incident_trigger SELECT organization_id, identifier, 'critical', 1, 20, date_added, date_added FROM incident;
INSERT INTO incident_slot SELECT organization_id, alert_rule_id || identifier, 'all', '', 2, 0, 0 FROM incident;
INSERT INTO incident_seen SELECT organization_id, identifier, 'ada', date_added FROM incident;
INSERT INTO incident_subscription SELECT organization_id, identifier, 'ada', date_added FROM incident;
ANALYZE`

// filters are lists of each condition, and of some together.
func filters() map[string]incident.IncidentFilter {
	start := time.Date(2024, time.June, 1, 0, 0, 0, 0, time.UTC)
	return map[string]incident.IncidentFilter{
		"none":                {},
		"projects":            {Projects: []incident.ProjectID{"project-2", "project-4", "project-6"}},
		"a common project":    {Projects: []incident.ProjectID{"all"}},
		"active":              {Statuses: incident.ActiveStatuses()},
		"closed":              {Statuses: []incident.Status{incident.StatusClosed}},
		"rule":                {AlertRuleID: "busy"},
		"title":               {Title: "Latency"},
		"window":              {Start: start, End: start.AddDate(0, 2, 0)},
		"window of a project": {Start: start, Projects: []incident.ProjectID{"all"}},
		"all together": {
			Start: start, Title: "high", AlertRuleID: "busy", Projects: []incident.ProjectID{"all"},
			Statuses: []incident.Status{incident.StatusClosed, incident.StatusCritical},
		},
		"active of a project": {Projects: []incident.ProjectID{"project-2"}, Statuses: incident.ActiveStatuses()},
		"closed of a project": {Projects: []incident.ProjectID{"project-2"}, Statuses: []incident.Status{incident.StatusClosed}},
	}
}

// No statement reads a whole table, and no list reads all that matches in order to
// sort it, whatever is asked for.
func TestStore_plans(t *testing.T) {
	s, _ := newStore(t)
	s.Pool().MustExec(fillSQL)
	m := mustManager(t, s)
	callEverything(t, m)
	statements := s.Statements()
	if len(statements) < 40 {
		t.Errorf("only %d statements were sent", len(statements))
	}
	for _, text := range statements {
		if strings.Contains(text, "incident_schema") {
			continue
		}
		plan := explain(t, s.Pool(), text)
		if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Hash Join") ||
			strings.HasPrefix(strings.TrimSpace(text), "SELECT") && strings.Contains(plan, "Bitmap") {
			t.Errorf("the statement\n%s\nhas the plan\n%s", text, plan)
		}
	}
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// explain returns the plan that the server keeps for all arguments.
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

// callEverything has the store send all its statements.
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
		f.OrganizationID = "acme"
		page, err := m.List(ctx, f)
		if err != nil || len(page.Incidents) == 0 {
			t.Fatalf("list by %s: %d incidents, %v", name, len(page.Incidents), err)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			t.Fatalf("list by %s has one page only", name)
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

// callReplays has the store look for what was there before.
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
