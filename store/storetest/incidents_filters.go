package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

func minute(n int) time.Time { return at(time.Duration(n) * time.Minute) }

// exhibit is an incident for filters.
type exhibit struct {
	title           string
	status          incident.Status
	rule            incident.AlertRuleID
	projects        []incident.ProjectID
	started, closed int // minutes; closed counts where the status says so
}

// exhibits have the identifiers from 1 in this order. exhibitLabels and exhibitResponses are of
// the same incidents.
var exhibits = []exhibit{
	{"Checkout fails", incident.StatusOpen, "latency", []incident.ProjectID{api, db}, 0, 0},
	{"CHECKOUT is slow", incident.StatusClosed, "latency", []incident.ProjectID{api}, 0, 10},
	{"Disk 100% full", incident.StatusWarning, "disk", []incident.ProjectID{db}, 10, 0},
	{"Disk 100 percent full, Cafe\u0301straße", incident.StatusClosed, "", nil, 10, 20},
	{`a_b\c`, incident.StatusCritical, "Latency", []incident.ProjectID{"API"}, 20, 0},
	{"aXb/c", incident.StatusClosed, "", []incident.ProjectID{web}, 20, 20},
	{"ÉTAT of \u212Aelvin", incident.StatusOpen, "", []incident.ProjectID{db, web}, 30, 0},
	{"état", incident.StatusClosed, "disk", []incident.ProjectID{api, db, web}, 0, 30},
}

func (e exhibit) incident(org incident.OrganizationID) incident.Incident {
	inc := draft(org)
	inc.Title, inc.Status, inc.AlertRuleID, inc.Projects = e.title, e.status, e.rule, e.projects
	inc.DateStarted = minute(e.started)
	if e.status == incident.StatusClosed {
		inc.DateClosed = new(minute(e.closed))
	}
	return inc
}

func mustExhibit(t *trial, s incident.Store) {
	t.Helper()
	for i, e := range exhibits {
		for _, org := range []incident.OrganizationID{acme, umbrella} {
			inc := e.incident(org)
			inc.Labels, inc.Response = exhibitLabels[i], exhibitResponses[i]
			mustCreate(t, s, inc)
		}
	}
}

// condition is a part of a query, with the identifiers of the exhibits that match.
type condition struct {
	name string
	set  func(q *incident.IncidentQuery)
	want []int64
}

func byProjects(want []int64, projects ...incident.ProjectID) condition {
	return condition{fmt.Sprint("projects ", projects), func(q *incident.IncidentQuery) { q.Projects = projects }, want}
}

func byAccess(want []int64, projects ...incident.ProjectID) condition {
	access := &incident.ProjectAccess{Projects: projects}
	return condition{fmt.Sprint("access to ", projects), func(q *incident.IncidentQuery) { q.Access = access }, want}
}

func byStatuses(want []int64, statuses ...incident.Status) condition {
	return condition{fmt.Sprint("statuses ", statuses), func(q *incident.IncidentQuery) { q.Statuses = statuses }, want}
}

func byRule(want []int64, rule incident.AlertRuleID) condition {
	return condition{fmt.Sprint("rule ", rule), func(q *incident.IncidentQuery) { q.AlertRuleID = rule }, want}
}

func byTitle(want []int64, title string) condition {
	set := func(q *incident.IncidentQuery) { q.Title = incident.FoldTitle(title) }
	return condition{fmt.Sprintf("title %q", title), set, want}
}

func byWindow(want []int64, start, end time.Time) condition {
	set := func(q *incident.IncidentQuery) { q.Start, q.End = start, end }
	return condition{fmt.Sprintf("window %v to %v", start, end), set, want}
}

func projectConditions() []condition {
	return []condition{
		byProjects([]int64{1, 2, 8}, api),
		byProjects([]int64{1, 2, 6, 7, 8}, api, web),
		byProjects([]int64{1, 2, 3, 6, 7, 8}, api, db, web),
		byProjects([]int64{5}, "API"),
		byProjects(nil, "ap"),
	}
}

func accessConditions() []condition {
	return []condition{
		byAccess([]int64{1, 2, 4, 8}, api),
		byAccess([]int64{4}),
		byAccess([]int64{1, 3, 4, 6, 7, 8}, db, web),
		byAccess([]int64{4, 5}, "API"),
		byAccess([]int64{4}, "ap"),
		byAccess(upTo(len(exhibits)), "API", api, db, web),
	}
}

func statusConditions() []condition {
	return []condition{
		byStatuses([]int64{2, 4, 6, 8}, incident.StatusClosed),
		byStatuses([]int64{1, 3, 5, 7}, incident.ActiveStatuses()...),
		byStatuses([]int64{1, 2, 4, 6, 7, 8}, incident.StatusOpen, incident.StatusClosed),
		byStatuses([]int64{3}, incident.StatusWarning),
	}
}

func ruleConditions() []condition {
	return []condition{
		byRule([]int64{3, 8}, "disk"),
		byRule([]int64{1, 2}, "latency"),
		byRule([]int64{5}, "Latency"),
		byRule(nil, "lat"),
	}
}

// titleConditions contain characters that some databases take for wildcards, and letters
// that some fold or compose differently.
func titleConditions() []condition {
	return []condition{
		byTitle([]int64{1, 2}, "checkout"),
		byTitle([]int64{3, 4}, "Disk 100"),
		byTitle([]int64{3}, "100%"),
		byTitle([]int64{3}, "%"),
		byTitle(nil, "disk%full"),
		byTitle([]int64{5}, "_"),
		byTitle([]int64{5}, "A_B"),
		byTitle([]int64{5}, `\`),
		byTitle([]int64{5}, `b\c`),
		byTitle(nil, "a.b"),
		byTitle(nil, "[ab]"),
		byTitle([]int64{7, 8}, "État"),
		byTitle([]int64{7, 8}, "E\u0301tat"),
		byTitle(nil, "etat"),
		byTitle([]int64{4}, "STRASSE"),
		byTitle([]int64{4}, "café"),
		byTitle([]int64{7}, "kelvin"),
		byTitle([]int64{2}, " is "),
	}
}

func windowConditions() []condition {
	none := time.Time{}
	return []condition{
		byWindow([]int64{1, 3, 4, 5, 6, 7, 8}, minute(20), none), // to the end, closed ends included
		byWindow([]int64{1, 3, 4, 8}, minute(15), minute(16)),    // all began before and went on
		byWindow([]int64{1, 3, 5, 7, 8}, minute(20).Add(time.Microsecond), none),
		byWindow([]int64{1, 3, 5, 7}, minute(31), minute(40)),
		byWindow([]int64{1, 2, 3, 4, 8}, none, minute(10)),
		byWindow([]int64{1, 2, 8}, none, minute(10).Add(-time.Microsecond)),
		byWindow([]int64{1, 2, 3, 4, 8}, minute(10), minute(10)),
		byWindow([]int64{1, 2, 8}, minute(0), minute(0)),
		byWindow(nil, none, minute(0).Add(-time.Microsecond)),
	}
}

// listed returns the identifiers in the order of a list.
func listed(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b int64) int {
		if byTime := exhibits[b-1].started - exhibits[a-1].started; byTime != 0 {
			return byTime
		}
		return int(b - a)
	})
	return ids
}

// wantListed checks the result of a query that has all conditions.
func wantListed(t *trial, s incident.Store, conditions ...condition) {
	t.Helper()
	q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
	want, name := upTo(len(exhibits)), ""
	for _, c := range conditions {
		c.set(&q)
		want = slices.DeleteFunc(want, func(id int64) bool { return !slices.Contains(c.want, id) })
		name += " " + c.name
	}
	got := mustIncidents(t, s, q)
	wantEqual(t, "the incidents for"+name, identifiersOf(got), listed(want))
	for _, inc := range got {
		if inc.OrganizationID != acme {
			t.Errorf("Incidents() for%s returns %s of another organization", name, inc.Key())
		}
	}
}

// filteredBy returns a case that checks each condition alone.
func filteredBy(conditions func() []condition) caseFunc {
	return func(t *trial, s incident.Store) {
		mustExhibit(t, s)
		for _, c := range conditions() {
			wantListed(t, s, c)
		}
	}
}

// An incident must meet all conditions of a query. A condition that is not set does not
// restrict.
func incidentsMeetAllConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	wantCombined(t, s, wantListed, projectConditions(), accessConditions(), statusConditions(), ruleConditions(), titleConditions(), windowConditions())
}

// wantCombined checks all combinations of at most one condition of each kind, from the first two of
// the kind.
func wantCombined(t *trial, s incident.Store, check func(t *trial, s incident.Store, all ...condition), all ...[]condition) {
	t.Helper()
	var combine func(chosen []condition, rest [][]condition)
	combine = func(chosen []condition, rest [][]condition) {
		if len(rest) == 0 {
			check(t, s, chosen...)
			return
		}
		combine(chosen, rest[1:])
		for _, c := range rest[0][:2] {
			combine(append(slices.Clip(chosen), c), rest[1:])
		}
	}
	combine(nil, all)
}

// A query with Projects and Access returns the incidents that affect a project of
// Projects and a project of Access. The two may be different projects.
func incidentsOfProjectsWithinAccess(t *trial, s incident.Store) {
	mustExhibit(t, s)
	for _, p := range projectConditions() {
		for _, a := range accessConditions() {
			wantListed(t, s, p, a)
		}
	}
}

// An incident enters the list of incidents without a project when it loses its last
// project, and leaves it with its first.
func incidentsWithinAccessFollowProjects(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	q := incident.IncidentQuery{OrganizationID: acme, Access: &incident.ProjectAccess{}, Limit: everything}
	wantEqual(t, "the incidents without a project", mustIncidents(t, s, q), []incident.Incident{st.Incident})
	for _, projects := range [][]incident.ProjectID{{db}, nil, {api, db}, nil} {
		after := st
		after.Incident.Projects = projects
		after.Incident.DateStarted = after.Incident.DateStarted.Add(time.Minute)
		st = mustChange(t, s, update(st, after))
		var want []incident.Incident
		if len(projects) == 0 {
			want = append(want, st.Incident)
		}
		wantEqual(t, fmt.Sprintf("the incidents without a project, after one has %v", projects), mustIncidents(t, s, q), want)
	}
}

// Incidents are returned as Load returns them: with all projects, even if the query
// names one.
func incidentsAreWhole(t *trial, s incident.Store) {
	mustExhibit(t, s)
	q := incident.IncidentQuery{OrganizationID: acme, Projects: []incident.ProjectID{db, web}, Limit: everything}
	for _, inc := range mustIncidents(t, s, q) {
		wantEqual(t, "the incident", inc, mustLoad(t, s, inc.Key()).Incident)
	}
}

// No match is an empty list, in an unknown organization too.
func incidentsMayBeNone(t *trial, s incident.Store) {
	mustCreate(t, s, draft(acme))
	for _, q := range []incident.IncidentQuery{
		{OrganizationID: "nobody", Limit: everything},
		{OrganizationID: "nobody", Reverse: true, Limit: everything},
		{OrganizationID: acme, AlertRuleID: "none", Limit: everything},
		{OrganizationID: acme, After: &incident.Position{DateStarted: t0, Identifier: 1}, Limit: everything},
		{OrganizationID: acme, After: &incident.Position{DateStarted: t0, Identifier: 1}, Reverse: true, Limit: everything},
	} {
		if got := mustIncidents(t, s, q); len(got) != 0 {
			t.Errorf("Incidents(%s) = %s, want none", show(q), show(got))
		}
	}
}

// A list shows the current values only.
func incidentsFollowChanges(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api))
	after := st
	after.Incident.Title = "ÜBERLAST"
	after.Incident.Projects = []incident.ProjectID{db}
	after.Incident.AlertRuleID = "disk"
	after.Incident.DateStarted = minute(60)
	c := update(st, after)
	st = mustChange(t, s, c)
	st = mustChange(t, s, transition(st, incident.StatusClosed))
	for name, q := range map[string]incident.IncidentQuery{
		"old title":   {Title: "checkout"},
		"old project": {Projects: []incident.ProjectID{api}},
		"old rule":    {AlertRuleID: latency},
		"old status":  {Statuses: incident.ActiveStatuses()},
		"old start":   {End: minute(59)},
		"old end":     {Start: minute(61)},
	} {
		q.OrganizationID, q.Limit = acme, everything
		if got := mustIncidents(t, s, q); len(got) != 0 {
			t.Errorf("Incidents() with the %s = %s, want none", name, show(got))
		}
	}
	q := incident.IncidentQuery{
		OrganizationID: acme,
		Title:          incident.FoldTitle("Über"),
		Projects:       []incident.ProjectID{db},
		AlertRuleID:    "disk",
		Statuses:       []incident.Status{incident.StatusClosed},
		Start:          minute(60),
		End:            minute(60),
		Limit:          everything,
	}
	wantEqual(t, "Incidents() with the current values", mustIncidents(t, s, q), []incident.Incident{st.Incident})
}

// An incident may last longer than a time.Duration can express.
func incidentsMayLastForCenturies(t *trial, s incident.Store) {
	inc := draft(acme)
	inc.Status = incident.StatusClosed
	inc.DateStarted = time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC)
	inc.DateClosed = new(time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC))
	want := []incident.Incident{mustCreate(t, s, inc).Incident}
	for _, year := range []int{1970, 2000, 2262, 2263, 5000, 9999} {
		when := time.Date(year, time.July, 1, 0, 0, 0, 0, time.UTC)
		q := incident.IncidentQuery{OrganizationID: acme, Start: when, End: when, Limit: everything}
		wantEqual(t, "the incidents in "+when.Format(time.DateOnly), mustIncidents(t, s, q), want)
	}
}
