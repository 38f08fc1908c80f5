package storetest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// mustShelf creates 24 incidents that start at 6 times, a microsecond apart. Every third
// has projects. Another organization has the same incidents. mustShelf returns the 24 in
// order.
func mustShelf(t *trial, s incident.Store) []incident.Incident {
	t.Helper()
	var shelf []incident.Incident
	for i := range 24 {
		inc := draft(acme)
		inc.DateStarted = at(time.Duration(i*5%6) * time.Microsecond)
		if i%3 == 0 {
			inc.Projects = []incident.ProjectID{api, db}
		}
		shelf = append(shelf, mustCreate(t, s, inc).Incident)
		inc.OrganizationID = umbrella
		mustCreate(t, s, inc)
	}
	slices.SortFunc(shelf, func(a, b incident.Incident) int {
		if byTime := b.DateStarted.Compare(a.DateStarted); byTime != 0 {
			return byTime
		}
		return int(b.Identifier - a.Identifier)
	})
	return shelf
}

func positionOf(inc incident.Incident) *incident.Position {
	return &incident.Position{DateStarted: inc.DateStarted, Identifier: inc.Identifier}
}

// mustPages returns the incidents of all pages of a query.
func mustPages(t *trial, s incident.Store, q incident.IncidentQuery) []incident.Incident {
	t.Helper()
	var all []incident.Incident
	for {
		page := mustIncidents(t, s, q)
		if len(page) > q.Limit || len(all) > everything {
			t.Fatalf("Incidents(%s) returned %d incidents after %d: the pages do not end", show(q), len(page), len(all))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		q.After = positionOf(page[len(page)-1])
	}
}

// From either end, pages of any size hold each match once, in order.
func incidentsArePagedFromBothEnds(t *trial, s incident.Store) {
	shelf := mustShelf(t, s)
	some := slices.DeleteFunc(slices.Clone(shelf), func(inc incident.Incident) bool { return len(inc.Projects) == 0 })
	rest := slices.DeleteFunc(slices.Clone(shelf), func(inc incident.Incident) bool { return len(inc.Projects) > 0 })
	for _, limit := range []int{1, 2, 3, 4, 7, 24, 101} {
		for _, reverse := range []bool{false, true} {
			q := incident.IncidentQuery{OrganizationID: acme, Reverse: reverse, Limit: limit}
			wantPages(t, s, q, shelf)
			q.Projects = []incident.ProjectID{api, db}
			wantPages(t, s, q, some)
			q.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{db, web}}
			wantPages(t, s, q, some)
			q.Projects = nil
			wantPages(t, s, q, shelf)
			q.Access = &incident.ProjectAccess{}
			wantPages(t, s, q, rest)
			q.Projects, q.Access = []incident.ProjectID{api, db}, nil
			q.Statuses = []incident.Status{incident.StatusOpen}
			q.Title = "checkout"
			wantPages(t, s, q, some)
			q.Start, q.End = t0, at(time.Hour)
			wantPages(t, s, q, some)
		}
	}
}

func wantPages(t *trial, s incident.Store, q incident.IncidentQuery, want []incident.Incident) {
	t.Helper()
	want = slices.Clone(want)
	if q.Reverse {
		slices.Reverse(want)
	}
	wantEqual(t, fmt.Sprintf("the pages of %s", show(q)), mustPages(t, s, q), want)
}

// From the position of an incident, the pages in both directions leave out that incident
// only.
func incidentsArePagedFromAnyPosition(t *trial, s incident.Store) {
	shelf := mustShelf(t, s)
	for i, inc := range shelf {
		q := incident.IncidentQuery{OrganizationID: acme, After: positionOf(inc), Limit: everything}
		wantEqual(t, fmt.Sprintf("the incidents after index %d", i), mustIncidents(t, s, q), shelf[i+1:])
		q.Reverse = true
		want := slices.Clone(shelf[:i])
		slices.Reverse(want)
		wantEqual(t, fmt.Sprintf("the incidents before index %d", i), mustIncidents(t, s, q), want)
	}
}

// The position before a page need not be that of an incident.
func incidentsArePagedFromVacantPositions(t *trial, s incident.Store) {
	shelf := mustShelf(t, s)
	for _, position := range []incident.Position{
		{DateStarted: at(time.Hour), Identifier: 1},
		{DateStarted: at(-time.Hour), Identifier: 1},
		{DateStarted: at(3 * time.Microsecond), Identifier: 0},
		{DateStarted: at(3 * time.Microsecond), Identifier: math.MaxInt64},
		{DateStarted: at(3 * time.Microsecond), Identifier: 8},
		{DateStarted: at(6 * time.Microsecond), Identifier: 8},
		{DateStarted: at(-time.Microsecond), Identifier: 8},
	} {
		after := slices.DeleteFunc(slices.Clone(shelf), func(inc incident.Incident) bool { return !isAfter(inc, position) })
		q := incident.IncidentQuery{OrganizationID: acme, After: &position, Limit: everything}
		wantEqual(t, fmt.Sprintf("the incidents after %+v", position), mustIncidents(t, s, q), after)
		q.Reverse = true
		before := slices.Clone(shelf[:len(shelf)-len(after)])
		slices.Reverse(before)
		if n := len(before); n > 0 && before[0].DateStarted.Equal(position.DateStarted) && before[0].Identifier == position.Identifier {
			before = before[1:]
		}
		wantEqual(t, fmt.Sprintf("the incidents before %+v", position), mustIncidents(t, s, q), before)
	}
}

// isAfter reports whether the incident comes after the position in a list.
func isAfter(inc incident.Incident, position incident.Position) bool {
	if inc.DateStarted.Equal(position.DateStarted) {
		return inc.Identifier < position.Identifier
	}
	return inc.DateStarted.Before(position.DateStarted)
}

// Limit counts incidents. An incident that matches in several ways counts once.
func incidentsAreLimited(t *trial, s incident.Store) {
	shelf := mustShelf(t, s)
	for limit := 1; limit <= len(shelf)+1; limit++ {
		q := incident.IncidentQuery{OrganizationID: acme, Limit: limit}
		got := mustIncidents(t, s, q)
		wantEqual(t, fmt.Sprintf("the first %d incidents", limit), got, shelf[:min(limit, len(shelf))])
	}
	q := incident.IncidentQuery{OrganizationID: acme, Projects: []incident.ProjectID{api, db}, Limit: 5}
	some := slices.DeleteFunc(shelf, func(inc incident.Incident) bool { return len(inc.Projects) == 0 })
	wantEqual(t, "the first 5 incidents of both projects", mustIncidents(t, s, q), some[:5])
}

// Pages that are read while incidents are added hold each earlier incident once.
func incidentsArePagedWhileOthersAreAdded(t *trial, s incident.Store) {
	shelf := mustShelf(t, s)
	q := incident.IncidentQuery{OrganizationID: acme, Limit: 5}
	var got []incident.Incident
	for len(got) <= len(shelf) {
		page := mustIncidents(t, s, q)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		q.After = positionOf(page[len(page)-1])
		inc := draft(acme)
		inc.DateStarted = page[0].DateStarted.Add(time.Hour)
		mustCreate(t, s, inc)
	}
	wantEqual(t, "the incidents that existed before the first page", got, shelf)
}

// A page may start after the position of an incident that does not match: the incident
// may have changed since it ended the previous page.
func incidentsArePagedWithinConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	conditions := slices.Concat(projectConditions(), accessConditions(), statusConditions(), ruleConditions(), windowConditions())
	for _, c := range append(conditions, titleConditions()[:3]...) {
		for _, started := range []int{-1, 0, 5, 10, 20, 30, 31} {
			for _, id := range []int64{0, 4, 99} {
				wantPageAfter(t, s, c, incident.Position{DateStarted: minute(started), Identifier: id})
			}
		}
	}
}

func wantPageAfter(t *trial, s incident.Store, c condition, position incident.Position) {
	t.Helper()
	q := incident.IncidentQuery{OrganizationID: acme, After: &position, Limit: everything}
	c.set(&q)
	var after, before []int64
	for _, id := range listed(c.want) {
		inc := exhibits[id-1].incident(acme)
		inc.Identifier = id
		if isAfter(inc, position) {
			after = append(after, id)
		} else if !inc.DateStarted.Equal(position.DateStarted) || id != position.Identifier {
			before = append(before, id)
		}
	}
	slices.Reverse(before)
	name := fmt.Sprintf("the incidents for %s at %+v", c.name, position)
	wantEqual(t, name+", forward", identifiersOf(mustIncidents(t, s, q)), after)
	q.Reverse = true
	wantEqual(t, name+", reverse", identifiersOf(mustIncidents(t, s, q)), before)
}
