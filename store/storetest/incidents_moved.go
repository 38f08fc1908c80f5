package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// An incident whose start has moved is in each list once, at the position of the new start. The
// same call may change its projects, labels, assignee and status.
func incidentsFollowMovedStarts(t *trial, s incident.Store) {
	inc := ruled(acme, api, db)
	inc.Labels = map[string]string{"team": "shop", "env": "prod"}
	var neighbors []incident.Incident
	for i := range 3 {
		other := labelled(acme, map[string]string{"team": "shop", "env": "prod"})
		other.AlertRuleID, other.QueryID = latency, incident.QueryID(fmt.Sprint(i)) // in slots of its own
		other.Response = []*incident.Response{nil, {Assignee: ada}, {Assignee: bob}}[i]
		other.DateStarted = minute(10 * i)
		neighbors = append(neighbors, mustCreate(t, s, other).Incident)
		other.OrganizationID = umbrella
		mustCreate(t, s, other)
	}
	st := mustCreate(t, s, inc)
	for _, move := range moves() {
		after := incident.State{Incident: st.Incident.Clone()}
		move.alter(&after.Incident)
		st = mustChange(t, s, update(st, after))
		wantAmong(t, s, "after "+move.name, st.Incident, neighbors)
	}
	mustInTx(t, s, func(tx incident.Store) error {
		for _, when := range []time.Time{minute(-5), minute(15), minute(15).Add(time.Microsecond)} {
			after := st
			after.Incident.DateStarted = when
			st = mustChange(t, tx, update(st, after))
			wantAmong(t, tx, "in a transaction", st.Incident, neighbors)
		}
		return nil
	})
	wantAmong(t, s, "after the transaction", st.Incident, neighbors)
}

// move is a change with another start.
type move struct {
	name  string
	alter func(inc *incident.Incident)
}

func moves() []move {
	to := func(m int, others ...func(inc *incident.Incident)) func(*incident.Incident) {
		return func(inc *incident.Incident) {
			inc.DateStarted = minute(m)
			for _, alter := range others {
				alter(inc)
			}
		}
	}
	projects := func(p ...incident.ProjectID) func(*incident.Incident) {
		return func(inc *incident.Incident) { inc.Projects = p }
	}
	labels := func(l map[string]string) func(*incident.Incident) {
		return func(inc *incident.Incident) { inc.Labels = l }
	}
	assignee := func(user incident.UserID) func(*incident.Incident) {
		return func(inc *incident.Incident) { inc.Response = &incident.Response{Assignee: user} }
	}
	closed := func(inc *incident.Incident) {
		inc.Status, inc.DateClosed = incident.StatusClosed, new(inc.DateStarted.Add(time.Minute))
	}
	open := func(inc *incident.Incident) { inc.Status, inc.DateClosed = incident.StatusOpen, nil }
	return []move{
		{"a later start", to(15)},
		{"an earlier start", to(-5)},
		{"the start of another", to(10)},
		{"the same start", to(10, labels(map[string]string{"team": "shop"}))},
		{"a start with a new project", to(25, projects(api, db, web))},
		{"a start without a project", to(5, projects(db, web))},
		{"a start with another project", to(-1, projects(api))},
		{"a start with no project", to(5, projects())},
		{"a start without projects", to(25)},
		{"a start with the first project", to(15, projects(db))},
		{"a start with a new label", to(5, labels(map[string]string{"team": "shop", "env": "prod", "tier": "1"}))},
		{"a start with another value", to(15, labels(map[string]string{"team": "data", "env": "prod"}))},
		{"a start without labels", to(5, labels(nil))},
		{"a start with labels and projects", to(20, projects(api, db), labels(map[string]string{"team": "shop", "env": "prod"}))},
		{"a start with an assignee", to(15, assignee(ada))},
		{"a start of an assigned incident", to(-3)},
		{"a start with another assignee", to(5, assignee(bob), labels(map[string]string{"team": "shop"}))},
		{"the same start with another assignee", to(5, assignee(ada))},
		{"a start and the end", to(12, closed)},
		{"a start of a closed incident", to(-2, closed)},
		{"a start and a reopening", to(12, open)},
		{"a start without an assignee", to(3, func(inc *incident.Incident) { inc.Response = nil })},
	}
}

// wantAmong checks the lists that have the incident or its neighbors, page by page.
func wantAmong(t *trial, s incident.Store, when string, inc incident.Incident, neighbors []incident.Incident) {
	t.Helper()
	all := append(slices.Clone(neighbors), inc)
	slices.SortFunc(all, func(a, b incident.Incident) int {
		if isAfter(a, *positionOf(b)) {
			return 1
		}
		return -1
	})
	for _, q := range movedQueries() {
		want := slices.DeleteFunc(slices.Clone(all), func(inc incident.Incident) bool {
			return !hasLabels(inc, q.Labels) || q.AlertRuleID != "" && inc.AlertRuleID != q.AlertRuleID ||
				len(q.Projects) > 0 && len(without(q.Projects, inc.Projects)) == len(q.Projects) ||
				!mayAccess(inc, q.Access) || q.Assignee != "" && (inc.Response == nil || inc.Response.Assignee != q.Assignee) ||
				len(q.Statuses) > 0 && !slices.Contains(q.Statuses, inc.Status)
		})
		wanted := identifiersOf(want)
		if q.Reverse {
			slices.Reverse(wanted)
		}
		got := identifiersOf(mustPages(t, s, q))
		if !slices.Equal(got, wanted) {
			t.Errorf("%s the pages of %s hold %v, want %v", when, show(q), got, wanted)
		}
	}
}

func mayAccess(inc incident.Incident, access *incident.ProjectAccess) bool {
	return access == nil || len(inc.Projects) == 0 || len(without(inc.Projects, access.Projects)) < len(inc.Projects)
}

// movedQueries returns queries of several projects and labels, in pages of 2, in both directions.
func movedQueries() []incident.IncidentQuery {
	shop := []incident.Label{{Name: "team", Value: "shop"}}
	var queries []incident.IncidentQuery
	for _, q := range []incident.IncidentQuery{
		{},
		{Projects: []incident.ProjectID{api}},
		{Projects: []incident.ProjectID{api, db, web}},
		{Access: &incident.ProjectAccess{}},
		{Access: &incident.ProjectAccess{Projects: []incident.ProjectID{api, db}}},
		{Labels: shop},
		{Labels: []incident.Label{{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}}},
		{Labels: []incident.Label{{Name: "tier", Value: "1"}}},
		{Labels: shop, Projects: []incident.ProjectID{api, db}},
		{Labels: shop, Access: &incident.ProjectAccess{Projects: []incident.ProjectID{db, web}}},
		{Labels: shop, Statuses: incident.ActiveStatuses()},
		{Assignee: ada},
		{Assignee: bob},
		{Assignee: ada, Labels: shop, Projects: []incident.ProjectID{api, db}},
		{AlertRuleID: latency},
		{Statuses: []incident.Status{incident.StatusClosed}},
	} {
		for _, q.Reverse = range []bool{false, true} {
			q.OrganizationID, q.Limit = acme, 2
			queries = append(queries, q)
		}
	}
	return queries
}

// The conditions of a window follow a moved start.
func incidentsWithinAWindowFollowMovedStarts(t *trial, s incident.Store) {
	st := mustCreate(t, s, labelled(acme, map[string]string{"team": "shop"}))
	for _, m := range []int{40, 10, 25} {
		after := st
		after.Incident.DateStarted = minute(m)
		st = mustChange(t, s, update(st, after))
		for _, end := range []int{9, 10, 24, 25, 39, 40} {
			for _, q := range []incident.IncidentQuery{
				{},
				{Projects: []incident.ProjectID{api, db}},
				{Labels: []incident.Label{{Name: "team", Value: "shop"}}},
			} {
				q.OrganizationID, q.End, q.Limit = acme, minute(end), everything
				var want []incident.Incident
				if end >= m {
					want = append(want, st.Incident)
				}
				wantEqual(t, fmt.Sprintf("the incidents for %s, after the start moved to minute %d", show(q), m), mustIncidents(t, s, q), want)
			}
		}
	}
}
