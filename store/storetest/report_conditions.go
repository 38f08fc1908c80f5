package storetest

import (
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// reportConditions returns the conditions of each kind that a report has.
func reportConditions() [][]condition {
	return [][]condition{projectConditions(), accessConditions(), ruleConditions(), labelConditions()}
}

// mustExhibitAcknowledged creates the exhibits, and acknowledges each twice: first at minute 100 plus its
// identifier.
func mustExhibitAcknowledged(t *trial, s incident.Store) {
	t.Helper()
	mustExhibit(t, s)
	for i := range exhibits {
		for _, org := range []incident.OrganizationID{acme, umbrella} {
			key := incident.Key{OrganizationID: org, Identifier: int64(i + 1)}
			mustAdd(t, s, key, incident.ActivityTypeAcknowledged, minute(100+i+1), minute(150))
		}
	}
}

// wantExhibited checks the report of a query that has all conditions.
func wantExhibited(t *trial, s incident.Store, conditions ...condition) {
	t.Helper()
	var list incident.IncidentQuery
	ids := upTo(len(exhibits))
	for _, c := range conditions {
		c.set(&list)
		ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(c.want, id) })
	}
	q := reportOf(-1, 200)
	q.Projects, q.Access, q.AlertRuleID, q.Labels = list.Projects, list.Access, list.AlertRuleID, list.Labels
	want := incident.ReportNumbers{Active: map[incident.Status]int{}}
	var closed, acknowledged []int64
	for _, id := range ids {
		e := exhibits[id-1]
		want.Total.Opened++
		acknowledged = append(acknowledged, (time.Duration(100+int(id)-e.started) * time.Minute).Microseconds())
		if e.status != incident.StatusClosed {
			want.Active[e.status]++
			continue
		}
		closed = append(closed, (time.Duration(e.closed-e.started) * time.Minute).Microseconds())
	}
	want.Total.Acknowledged, want.Total.Closed = reckonDurations(acknowledged), reckonDurations(closed)
	want.Periods = []incident.PeriodNumbers{want.Total}
	wantNumbers(t, s, q, want)
}

// Each condition restricts all numbers. A query without conditions counts everything.
func reportMeetsConditions(t *trial, s incident.ReportStore) {
	mustExhibitAcknowledged(t, s)
	wantExhibited(t, s)
	for _, kind := range reportConditions() {
		for _, c := range kind {
			wantExhibited(t, s, c)
		}
	}
}

// An incident must meet all conditions of a query.
func reportMeetsAllConditions(t *trial, s incident.ReportStore) {
	mustExhibitAcknowledged(t, s)
	wantCombined(t, s, wantExhibited, reportConditions()...)
	for _, p := range projectConditions() {
		for _, a := range accessConditions() {
			wantExhibited(t, s, p, a)
		}
	}
}

// No incident of another organization counts, although it has the same identifiers and names.
func reportIsOfTheOrganization(t *trial, s incident.ReportStore) {
	mustExhibitAcknowledged(t, s)
	queries := []incident.ReportQuery{reportOf(0, 10, 200)}
	for _, kind := range reportConditions() {
		var list incident.IncidentQuery
		kind[0].set(&list)
		q := reportOf(0, 10, 200)
		q.Projects, q.Access, q.AlertRuleID, q.Labels = list.Projects, list.Access, list.AlertRuleID, list.Labels
		queries = append(queries, q)
	}
	var before []incident.ReportNumbers
	for _, q := range queries {
		before = append(before, mustReport(t, s, q))
	}
	for i, e := range exhibits {
		inc := e.incident(umbrella)
		inc.Labels, inc.QueryID = exhibitLabels[i], "another"
		st := mustCreate(t, s, inc)
		mustAdd(t, s, st.Incident.Key(), incident.ActivityTypeAcknowledged, minute(5))
	}
	st := mustLoad(t, s, incident.Key{OrganizationID: umbrella, Identifier: 1})
	mustTurn(t, s, st, incident.StatusClosed, minute(7))
	for i, q := range queries {
		wantNumbers(t, s, q, before[i])
	}
}

// No match is a report of zeros, in an unknown organization too. It has all periods.
func reportMayBeZero(t *trial, s incident.ReportStore) {
	inc := closedBetween(minute(1), minute(2))
	inc.Projects = []incident.ProjectID{api}
	mustAdd(t, s, mustCreate(t, s, inc).Incident.Key(), incident.ActivityTypeAcknowledged, minute(1))
	unknown, rule, label, project, access := reportOf(0, 10, 20), reportOf(0, 10, 20), reportOf(0, 10, 20), reportOf(0, 10, 20), reportOf(0, 10, 20)
	unknown.OrganizationID = "nobody"
	rule.AlertRuleID = "none"
	label.Labels = []incident.Label{{Name: "team", Value: "shop"}}
	project.Projects = []incident.ProjectID{"none"}
	access.Access = &incident.ProjectAccess{}
	for _, q := range []incident.ReportQuery{unknown, rule, label, project, access, reportOf(3, 10, 20), reportOf(-20, -10, 1)} {
		wantNumbers(t, s, q, openings(0, 0))
	}
}

// A report may have as many periods as a Manager asks for.
func reportHasManyPeriods(t *trial, s incident.ReportStore) {
	var bounds []int
	for i := range incident.MaxReportDays + 1 {
		bounds = append(bounds, 10*i)
	}
	want := openings(make([]int, incident.MaxReportDays)...)
	for _, i := range []int{0, 1, 7, 200, incident.MaxReportDays - 2, incident.MaxReportDays - 1} {
		started := minute(10 * i)
		st := mustCreate(t, s, closedBetween(started, started.Add(10*time.Minute-time.Microsecond)))
		mustAdd(t, s, st.Incident.Key(), incident.ActivityTypeAcknowledged, started)
		want.Total.Opened++
		want.Periods[i] = incident.PeriodNumbers{Opened: 1, Acknowledged: same(1, 0), Closed: same(1, 10*time.Minute-time.Microsecond)}
	}
	want.Total.Acknowledged, want.Total.Closed = same(6, 0), same(6, 10*time.Minute-time.Microsecond)
	wantNumbers(t, s, reportOf(bounds...), want)
}
