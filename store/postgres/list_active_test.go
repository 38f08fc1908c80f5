package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// The active incidents of projects and labels are found whether these have few incidents or many, up to
// the limit and above it, and whether incidents have one of the projects or several.
func TestIncidents_activeOfFewAndMany(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m := mustManager(t, s)
	for i := range 110 {
		n := incident.NewIncident{OrganizationID: "acme", Title: "Down", Labels: map[string]string{"all": "yes"}}
		if i%2 == 0 {
			n.Projects = append(n.Projects, "twin-1", "twin-2")
		}
		if i%4 == 0 {
			n.Projects = append(n.Projects, "pair-1", "pair-2")
		}
		if i < 101 {
			n.Projects, n.Labels["size"] = append(n.Projects, "p101"), "101"
		}
		if i >= 10 {
			n.Projects, n.Labels["end"] = append(n.Projects, "p100"), "100"
		}
		r, err := m.Create(t.Context(), n)
		if err == nil && i%3 > 0 {
			status := []incident.Status{incident.StatusClosed, incident.StatusWarning, incident.StatusCritical}[i/3%3]
			_, err = m.UpdateStatus(t.Context(), r.Key(), incident.StatusUpdate{Status: status})
		}
		if err == nil && i%11 == 0 {
			_, err = m.Assign(t.Context(), r.Key(), incident.Assignment{Assignee: "ada"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all := listAll(t, m, incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
	for name, f := range map[string]incident.IncidentFilter{
		"few":             {Projects: []incident.ProjectID{"p100"}},
		"more than few":   {Projects: []incident.ProjectID{"p101"}},
		"more, of pairs":  {Projects: []incident.ProjectID{"twin-1", "twin-2"}},
		"few pairs":       {Projects: []incident.ProjectID{"pair-1", "pair-2"}},
		"none":            {Projects: []incident.ProjectID{"nothing"}},
		"few, with more":  {Projects: []incident.ProjectID{"nothing", "p101", "twin-2"}},
		"few of a user":   {Projects: []incident.ProjectID{"p100"}, Access: access("twin-1")},
		"few of a label":  {Labels: labels("end", "100")},
		"more of a label": {Labels: labels("size", "101")},
		"both labels":     {Labels: labels("end", "100", "all", "yes")},
		"a common label":  {Labels: labels("all", "yes"), Projects: []incident.ProjectID{"twin-1"}},
		"an assignee":     {Assignee: "ada"},
		"not one label":   {Labels: labels("end", "99")},
	} {
		f.OrganizationID, f.Limit = "acme", 7
		for _, statuses := range [][]incident.Status{incident.ActiveStatuses(), {incident.StatusWarning}, nil} {
			f.Statuses = statuses
			t.Run(fmt.Sprint(name, statuses), func(t *testing.T) { checkFilter(t, m, f, all) })
		}
	}
}

// checkFilter compares the pages and counts of a filter with the incidents among all that meet it.
func checkFilter(t *testing.T, m incident.Manager, f incident.IncidentFilter, all []incident.Incident) {
	t.Helper()
	hasAny := func(inc incident.Incident, projects []incident.ProjectID) bool {
		return slices.ContainsFunc(projects, func(p incident.ProjectID) bool { return slices.Contains(inc.Projects, p) })
	}
	var want []int64
	numbers := map[incident.Status]int{}
	for _, inc := range all {
		met := (len(f.Statuses) == 0 || slices.Contains(f.Statuses, inc.Status)) && (len(f.Projects) == 0 || hasAny(inc, f.Projects)) &&
			(f.Access == nil || len(inc.Projects) == 0 || hasAny(inc, f.Access.Projects)) &&
			(f.Assignee == "" || inc.Response != nil && inc.Response.Assignee == f.Assignee)
		for name, value := range f.Labels {
			met = met && inc.Labels[name] == value
		}
		if met {
			want = append(want, inc.Identifier)
			numbers[inc.Status]++
		}
	}
	checkPages(t, m, f, want)
	f.Limit = 0
	counts, err := m.Count(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for status, n := range counts.ByStatus {
		if n != numbers[status] {
			t.Errorf("Count = %+v, want %v", counts, numbers)
			break
		}
	}
}
