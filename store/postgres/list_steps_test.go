package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// A list of projects with a condition that few incidents meet has the same incidents, page by page in
// both directions, as the list without the filter. The incidents are many times those of a step, some
// projects have few of them, and most start at the same time as others.
func TestIncidents_rareOfProjects(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for i := range 500 {
		n := incident.NewIncident{OrganizationID: "acme", Title: "Down", DateStarted: now.Add(-time.Duration(i/40) * time.Minute)}
		switch rng.IntN(7) {
		case 0, 1, 2:
			n.Projects = []incident.ProjectID{"api"}
		case 3, 4:
			n.Projects = []incident.ProjectID{"api", "web"}
		case 5:
			n.Projects = []incident.ProjectID{[]incident.ProjectID{"db", "web", "foreign"}[rng.IntN(3)]}
		}
		if rng.IntN(25) == 0 || i > 490 {
			n.Title = "Slow"
		}
		if _, err := m.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	all := listAll(t, m, incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
	projects := []incident.ProjectID{"api", "db", "nothing", "web"}
	for name, f := range map[string]incident.IncidentFilter{
		"of projects":                  {Projects: projects},
		"of a user":                    {Access: &incident.ProjectAccess{Projects: projects}},
		"of a user with little access": {Access: &incident.ProjectAccess{Projects: []incident.ProjectID{"db"}}},
		"of many projects":             {Access: &incident.ProjectAccess{Projects: append(many(200), projects...)}},
	} {
		f.OrganizationID, f.Title = "acme", "slow"
		var want []int64
		for _, inc := range all {
			isOf := func(wanted []incident.ProjectID) bool {
				return slices.ContainsFunc(inc.Projects, func(p incident.ProjectID) bool { return slices.Contains(wanted, p) })
			}
			visible := f.Access != nil && (len(inc.Projects) == 0 || isOf(f.Access.Projects)) || f.Access == nil && isOf(f.Projects)
			if visible && strings.Contains(inc.Title, "Slow") {
				want = append(want, inc.Identifier)
			}
		}
		if len(want) < 3 {
			t.Fatalf("%s: only %d incidents match", name, len(want))
		}
		for _, limit := range []int{1, 3, 100} {
			f.Limit = limit
			t.Run(fmt.Sprint(name, ", by ", limit), func(t *testing.T) { checkPages(t, m, f, want) })
		}
		f.Limit = 0
		counts, err := m.Count(t.Context(), f)
		if err != nil || counts.ByStatus[incident.StatusOpen] != len(want) {
			t.Errorf("%s: Count = %+v, %v, want %d", name, counts, err, len(want))
		}
	}
}

// A list and a count with a condition, of many projects with as many incidents each, read the places of each
// project in few steps.
func TestIncidents_stepsOfProjects(t *testing.T) {
	t.Parallel()
	s := mustNew(t, mustOpen(t, newTables(t), 1), nil)
	const incidents, used = 6000, 20
	s.Pool().MustExec(`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, date_closed, title, title_folded, alert_rule_id, query_id, projects)
		SELECT 'acme', n, 1, 1, 0, 0, 2, 1, t, t, t, t, 'Down', 'down', '', '', ARRAY['project-' || lpad((abs(hashint8(n)) % $2::int)::text, 2, '0')]
		FROM generate_series(1, $1::int) n, LATERAL (SELECT now() - n * interval '1 minute' AS t) times`, incidents, used)
	s.Pool().MustExec(`INSERT INTO incident_project (organization_id, project_id, date_started, identifier)
		SELECT organization_id, projects[1], date_started, identifier FROM incident`)
	s.Pool().MustExec("ANALYZE")
	m := mustManager(t, s)
	scans := func() (n int) {
		s.Pool().MustExec("SELECT pg_stat_force_next_flush()")
		mustDo(t, s.Pool().Get(&n, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'incident_project_pkey'"))
		return n
	}
	for name, list := range map[string]func(f incident.IncidentFilter) error{
		"List":  func(f incident.IncidentFilter) error { return only(m.List(t.Context(), f)) },
		"Count": func(f incident.IncidentFilter) error { return only(m.Count(t.Context(), f)) },
	} {
		for _, f := range []incident.IncidentFilter{
			{Projects: many(used), Title: "nothing"},
			{Access: &incident.ProjectAccess{Projects: many(5 * used)}, Title: "nothing"},
		} {
			f.OrganizationID = "acme"
			before := scans()
			mustDo(t, list(f))
			parts := len(f.Projects) + 1
			if f.Access != nil {
				parts = len(f.Access.Projects) + 1
			}
			if n := scans() - before; n < parts || n > 20*parts {
				t.Errorf("%s of %d projects reads %d times, want up to 20 for each", name, parts-1, n)
			}
		}
	}
}

// listAll returns the list of a filter.
func listAll(t *testing.T, m incident.Manager, f incident.IncidentFilter) (all []incident.Incident) {
	t.Helper()
	for inc, err := range incident.All(t.Context(), m, f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, inc)
	}
	return all
}

// checkPages compares the pages of a list, to the end and back to the beginning, with the identifiers
// that the list must have.
func checkPages(t *testing.T, m incident.Manager, f incident.IncidentFilter, want []int64) {
	t.Helper()
	var forth, back []int64
	var last incident.IncidentPage
	for {
		page, err := m.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, inc := range page.Incidents {
			forth = append(forth, inc.Identifier)
		}
		last = page
		if f.Cursor = page.Next; f.Cursor == "" || len(forth) > len(want) {
			break
		}
	}
	if !slices.Equal(forth, want) {
		t.Errorf("the pages have\n%v\nwant\n%v", forth, want)
	}
	for page := last; page.Previous != "" && len(back) <= len(want); {
		var err error
		if f.Cursor = page.Previous; f.Cursor != "" {
			if page, err = m.List(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		var ids []int64
		for _, inc := range page.Incidents {
			ids = append(ids, inc.Identifier)
		}
		back = append(ids, back...)
	}
	if before := want[:len(want)-len(last.Incidents)]; !slices.Equal(back, before) {
		t.Errorf("the pages back have\n%v\nwant\n%v", back, before)
	}
}
