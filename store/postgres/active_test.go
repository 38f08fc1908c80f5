package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// checkActive fails the test unless so many incidents are outdated, and incident_active has the rows of all others.
func checkActive(t *testing.T, s *postgres.Store, outdated int) {
	t.Helper()
	found, err := pgtest.AuditActive(context.Background(), s.Pool(), s.Schema()) // also at the end of a test
	if err != nil || found != outdated {
		t.Errorf("%d incidents are outdated, want %d; %v", found, outdated, err)
	}
}

// mustActive creates incidents with projects, labels and assignees, of all statuses.
func mustActive(t *testing.T, m incident.Manager) (keys []incident.Key) {
	t.Helper()
	for i := range 24 {
		n := incident.NewIncident{
			OrganizationID: "acme", Title: fmt.Sprint("Down ", i%2), Labels: labels("team", fmt.Sprint(i%3)),
			Projects: []incident.ProjectID{"all", incident.ProjectID(fmt.Sprint("p", i%4))}, UserID: "ada",
		}
		r, err := m.Create(t.Context(), n)
		if err == nil && i%5 > 0 {
			_, err = m.Assign(t.Context(), r.Key(), incident.Assignment{Assignee: "grace"})
		}
		if err == nil && i%4 > 0 {
			status := []incident.Status{0, incident.StatusWarning, incident.StatusCritical, incident.StatusClosed}[i%4]
			_, err = m.UpdateStatus(t.Context(), r.Key(), incident.StatusUpdate{Status: status})
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, r.Key())
	}
	return keys
}

// mustFill adds so many incidents of each status that the status is not rare, and that the list of their
// projects is long.
func mustFill(t *testing.T, s *postgres.Store, c commonStatuses) {
	t.Helper()
	for _, status := range c.statuses {
		s.Pool().MustExec(`INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects, listed)
		SELECT 'acme', 6000 * $1::bigint + 6 * n + 5, 1, 0, 1, 2, $1, 3, '2026-01-01Z', '2026-01-01Z', '2026-01-01Z', 'Other', 'other', '', '', coalesce($3::text[], '{}'), 1
		FROM generate_series(0, $2) n`, status, postgres.MaxRare, c.projects)
	}
	s.Pool().MustExec(`INSERT INTO incident_project (organization_id, project_id, date_started, identifier)
		SELECT organization_id, unnest(projects), date_started, identifier FROM incident`)
	s.Pool().MustExec(`INSERT INTO incident_active (organization_id, digest, date_started, identifier)
		SELECT organization_id, left(encode(sha256(convert_to('project:' || unnest(projects), 'UTF8')), 'hex'), 32)::uuid,
			date_started, identifier
		FROM incident`)
}

// commonStatuses are the active statuses that are common in a test: a list finds the others by status. The
// projects have the incidents of these statuses.
type commonStatuses struct {
	statuses []incident.Status
	projects pq.StringArray
}

// inCommonStatuses tests with several mixes of statuses.
func inCommonStatuses(t *testing.T, test func(*testing.T, commonStatuses)) {
	for name, common := range map[string]commonStatuses{
		"all are rare":            {},
		"all are common":          {statuses: incident.ActiveStatuses()},
		"warnings are common":     {statuses: []incident.Status{incident.StatusWarning}},
		"warnings are rare":       {statuses: []incident.Status{incident.StatusOpen, incident.StatusCritical}},
		"warnings are everywhere": {statuses: []incident.Status{incident.StatusWarning}, projects: pq.StringArray{"all"}},
	} {
		t.Run(name, func(t *testing.T) { test(t, common) })
	}
}

// checkActiveLists compares lists and counts of projects, labels and assignees with all incidents.
func checkActiveLists(t *testing.T, m incident.Manager, step string) {
	t.Helper()
	all := listAll(t, m, incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
	for name, f := range map[string]incident.IncidentFilter{
		"a project":              {Projects: []incident.ProjectID{"p1"}},
		"all":                    {Projects: []incident.ProjectID{"all"}},
		"projects":               {Projects: []incident.ProjectID{"all", "p1", "p2", "moved"}},
		"a label":                {Labels: labels("team", "1")},
		"another label":          {Labels: labels("team", "moved")},
		"an assignee":            {Assignee: "grace"},
		"another assignee":       {Assignee: "bob"},
		"a label of a project":   {Labels: labels("team", "1"), Projects: []incident.ProjectID{"p1", "moved"}},
		"a label of a user":      {Labels: labels("team", "1"), Access: access("p2", "p3")},
		"a project of a user":    {Projects: []incident.ProjectID{"all"}, Access: access("p2", "p3")},
		"a label of an assignee": {Labels: labels("team", "0"), Assignee: "grace"},
	} {
		f.OrganizationID, f.Limit = "acme", 5
		for _, statuses := range [][]incident.Status{incident.ActiveStatuses(), {incident.StatusWarning}, nil} {
			f.Statuses = statuses
			t.Run(fmt.Sprint(step, ", ", name, statuses), func(t *testing.T) { checkFilter(t, m, f, all) })
		}
	}
}

// The lists of active incidents are right whatever changes.
func TestIncidents_activeChange(t *testing.T) {
	t.Parallel()
	inCommonStatuses(t, activeChange)
}

func activeChange(t *testing.T, common commonStatuses) {
	s, _ := newStore(t)
	m := mustManager(t, s)
	mustFill(t, s, common)
	keys := mustActive(t, m)
	checkActive(t, s, 0)
	checkActiveLists(t, m, "created")
	for i, key := range keys {
		inc, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 6 {
		case 0:
			_, err = m.LinkProject(t.Context(), key, "moved")
		case 1:
			_, err = m.UnlinkProject(t.Context(), key, "all")
		case 2:
			_, err = m.Edit(t.Context(), key, incident.Edit{Labels: labels("team", "moved")})
		case 3: // reopens
			_, err = m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical})
		case 4:
			_, err = m.Edit(t.Context(), key, incident.Edit{DateStarted: inc.DateStarted.Add(-time.Hour)})
		case 5:
			_, err = m.Assign(t.Context(), key, incident.Assignment{Assignee: "bob"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	checkActive(t, s, 0)
	checkActiveLists(t, m, "changed")
	if _, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "grace", As: "bob"}); err != nil {
		t.Fatal(err)
	}
	checkActive(t, s, 0)
	checkActiveLists(t, m, "erased")
	if _, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	checkActive(t, s, 0)
	if _, err := m.DeleteOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := s.Pool().Get(&rows, "SELECT count(*) FROM incident_active"); err != nil || rows != 0 {
		t.Errorf("incident_active has %d rows of a deleted organization, %v", rows, err)
	}
}

// olderWrites are changes as a library of schema version 4 makes them: it knows neither incident_active
// nor incident.listed.
var olderWrites = []string{
	`UPDATE incident SET status = 2, date_closed = date_started, version = version + 1 WHERE identifier % 6 = 0`,
	`UPDATE incident SET status = 20, date_closed = NULL, version = version + 1 WHERE identifier % 6 = 1`,
	`WITH gone AS (DELETE FROM incident_project WHERE project_id = 'all' AND identifier % 6 = 2)
	UPDATE incident SET projects = array_remove(projects, 'all'), version = version + 1 WHERE identifier % 6 = 2`,
	`WITH added AS (INSERT INTO incident_project SELECT organization_id, 'moved', date_started, identifier FROM incident WHERE identifier % 6 = 3)
	UPDATE incident SET projects = array_append(projects, 'moved'), version = version + 1 WHERE identifier % 6 = 3`,
	`WITH moved AS (UPDATE incident_project SET date_started = date_started - interval '1 hour' WHERE identifier % 6 = 4),
	labelled AS (UPDATE incident_label SET date_started = date_started - interval '1 hour' WHERE identifier % 6 = 4)
	UPDATE incident SET date_started = date_started - interval '1 hour', version = version + 1 WHERE identifier % 6 = 4`,
	`WITH gone AS (DELETE FROM incident_project WHERE identifier = 17), unlabelled AS (DELETE FROM incident_label WHERE identifier = 17)
	DELETE FROM incident WHERE identifier = 17`,
	`WITH counted AS (UPDATE incident_organization SET incidents = incidents + 1 RETURNING incidents),
	added AS (INSERT INTO incident_project SELECT 'acme', 'p1', '2026-01-01Z', incidents FROM counted)
	INSERT INTO incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
		date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
	SELECT 'acme', incidents, 1, 0, 1, 2, 10, 3, '2026-01-01Z', '2026-01-01Z', '2026-01-01Z', 'Old', 'old', '', '', '{p1}' FROM counted`,
}

// Lists are right while an older library writes beside this one, and after this library has changed
// the same incidents.
func TestIncidents_activeBesideOlder(t *testing.T) {
	t.Parallel()
	inCommonStatuses(t, activeBesideOlder)
}

func activeBesideOlder(t *testing.T, common commonStatuses) {
	s, _ := newStore(t)
	m := mustManager(t, s)
	mustFill(t, s, common)
	keys := mustActive(t, m)
	for i, text := range olderWrites {
		s.Pool().MustExec(text)
		checkActiveLists(t, m, fmt.Sprint("after write ", i))
	}
	outdated, _ := pgtest.AuditActive(t.Context(), s.Pool(), s.Schema()) // the deleted incident still has rows
	if outdated < 15 {
		t.Fatalf("%d incidents are outdated", outdated)
	}
	for i, key := range append(keys, incident.Key{OrganizationID: "acme", Identifier: 25}) {
		if key.Identifier == 17 {
			continue
		}
		status := incident.StatusWarning
		if i%2 == 0 {
			status = incident.StatusClosed
		}
		_, err := m.Edit(t.Context(), key, incident.Edit{Title: fmt.Sprint("Changed ", i)})
		if err == nil {
			_, err = m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	checkActiveLists(t, m, "changed by this library")
	s.Pool().MustExec(`DELETE FROM incident_active WHERE identifier = 17`) // the older library deleted the incident
	checkActive(t, s, 0)
}

// A purge leaves no rows of incidents that an older library closed.
func TestPurge_closedByOlder(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	mustActive(t, m)
	for _, text := range olderWrites[:3] {
		s.Pool().MustExec(text)
	}
	if _, err := s.Purge(t.Context(), everythingDue()); err != nil {
		t.Fatal(err)
	}
	var rows int
	err := s.Pool().Get(&rows, `SELECT count(*) FROM incident_active a WHERE NOT EXISTS (
		SELECT FROM incident i WHERE i.organization_id = a.organization_id AND i.identifier = a.identifier)`)
	if err != nil || rows != 0 {
		t.Errorf("after a purge incident_active has %d rows of deleted incidents, %v", rows, err)
	}
}

// EraseUser leaves no digest of a user from whom an older library has taken an incident.
func TestEraseUser_reassignedByOlder(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	keys := mustActive(t, m)
	s.Pool().MustExec(`UPDATE incident SET version = version + 1, optional = jsonb_set(optional, '{response,assignee}', '"bob"')
		WHERE optional #>> '{response,assignee}' = 'grace'`)
	s.Pool().MustExec(`UPDATE incident_label SET digest = $2 WHERE digest = $1`, postgres.AssigneeDigest("grace"), postgres.AssigneeDigest("bob"))
	mustDo(t, only(m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "grace"})))
	var rows int
	mustDo(t, s.Pool().Get(&rows, `SELECT count(*) FROM incident_active WHERE digest = $1`, postgres.AssigneeDigest("grace")))
	if rows != 0 {
		t.Errorf("incident_active has %d rows of the erased user", rows)
	}
	for _, key := range keys {
		mustDo(t, only(m.Edit(t.Context(), key, incident.Edit{Title: "Changed"})))
	}
	checkActive(t, s, 0)
}

// The migration lists the active incidents.
func TestMigrate_listsActive(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	mustActive(t, m)
	s.Pool().MustExec(mustRead(t, postgres.Migrations(), "20261126000005_active_lists.down.sql"))
	mustMigrate(t, s.Pool(), nil)
	checkActive(t, s, 0)
	checkActiveLists(t, m, "migrated")
}
