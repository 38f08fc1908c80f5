package storetest

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// RunReport checks the contract of [incident.ReportStore]. See [Run]. The store of a transaction
// must be a ReportStore, too. If the store is also an [incident.RetentionStore], the case about
// deleted incidents runs, too; otherwise it passes.
func RunReport(t *testing.T, newStore func(t *testing.T) incident.ReportStore) {
	t.Helper()
	runCases(t, reportContract(), newStore, newLimit(maxLimit))
}

type reportCase = testCase[incident.ReportStore]

// reportContract lists the promises of a report.
func reportContract() []reportCase {
	return []reportCase{
		{"CountsOpenings", reportCountsOpenings},
		{"CountsClosings", reportCountsClosings},
		{"CountsFirstAcknowledgements", reportCountsFirstAcknowledgements},
		{"IgnoresOtherActivities", reportIgnoresOtherActivities},
		{"SummarizesDurations", reportSummarizesDurations},
		{"SummarizesTheWholeTime", reportSummarizesTheWholeTime},
		{"MaySpanCenturies", reportMaySpanCenturies},
		{"CountsActive", reportCountsActive},
		{"CountsActiveByTheStatusThen", reportCountsActiveByTheStatusThen},
		{"MeetsConditions", reportMeetsConditions},
		{"MeetsAllConditions", reportMeetsAllConditions},
		{"IsOfTheOrganization", reportIsOfTheOrganization},
		{"MayBeZero", reportMayBeZero},
		{"HasManyPeriods", reportHasManyPeriods},
		{"FollowsChanges", reportFollowsChanges},
		{"OmitsTheDeleted", reportOmitsTheDeleted},
		{"SeesItsTransaction", reportSeesItsTransaction},
		{"IsOneRead", reportIsOneRead},
		{"EqualsAModel", reportEqualsAModel},
		{"LeavesTheQueryAlone", reportLeavesTheQueryAlone},
		{"ObeysTheContext", reportObeysTheContext},
	}
}

// reportOf returns a query of acme without conditions. The bounds are in minutes.
func reportOf(bounds ...int) incident.ReportQuery {
	q := incident.ReportQuery{OrganizationID: acme}
	for _, m := range bounds {
		q.Bounds = append(q.Bounds, minute(m))
	}
	return q
}

// mustReport returns the numbers, without statuses that no incident had.
func mustReport(t *trial, s incident.Store, q incident.ReportQuery) incident.ReportNumbers {
	t.Helper()
	reports, ok := s.(incident.ReportStore)
	if !ok {
		t.Fatalf("%T is no ReportStore", s)
	}
	n, err := reports.Report(t.Context(), q)
	if err != nil {
		t.Fatalf("Report(%s) = %v, want no error", show(q), err)
	}
	n.Active = counted(n.Active)
	return n
}

// wantNumbers checks the numbers of a query. A nil Active stands for none.
func wantNumbers(t *trial, s incident.Store, q incident.ReportQuery, want incident.ReportNumbers) {
	t.Helper()
	want.Active = counted(want.Active)
	wantEqual(t, "the report for "+show(q), mustReport(t, s, q), want)
}

// openings returns the numbers of openings alone.
func openings(periods ...int) (n incident.ReportNumbers) {
	for _, opened := range periods {
		n.Total.Opened += opened
		n.Periods = append(n.Periods, incident.PeriodNumbers{Opened: opened})
	}
	return n
}

// same returns the numbers of durations that are all the same.
func same(count int, d time.Duration) incident.DurationNumbers {
	return incident.DurationNumbers{Count: count, Mean: d.Microseconds(), Median: d.Microseconds(), P95: d.Microseconds()}
}

// closedBetween returns an incident that was open for some time.
func closedBetween(started, closed time.Time) incident.Incident {
	inc := draft(acme)
	inc.DateStarted, inc.Status, inc.DateClosed = started, incident.StatusClosed, &closed
	return inc
}

// startedAt returns an active incident.
func startedAt(started time.Time) incident.Incident {
	inc := draft(acme)
	inc.DateStarted = started
	return inc
}

// mustAdd appends activities with these dates, and leaves the row alone.
func mustAdd(t *trial, s incident.Store, key incident.Key, typ incident.ActivityType, dates ...time.Time) {
	t.Helper()
	for _, date := range dates {
		a := activity(key, typ)
		a.DateAdded = date
		mustApply(t, s, incident.Change{Key: key, Activities: []incident.Activity{a}})
	}
}

// mustTurn changes the status at a time, and returns the state after it.
func mustTurn(t *trial, s incident.Store, before incident.State, to incident.Status, date time.Time) incident.State {
	t.Helper()
	return mustChange(t, s, redated(before, to, date))
}

// redated returns a change of the status with a date.
func redated(before incident.State, to incident.Status, date time.Time) incident.Change {
	c := transition(before, to)
	c.Activities[0].DateAdded = date
	if to == incident.StatusClosed {
		closed := date
		if closed.Before(before.Incident.DateStarted) {
			closed = before.Incident.DateStarted
		}
		c.Incident.DateClosed = &closed
	}
	return c
}

// The query and its memory are the caller's, and so is the result.
func reportLeavesTheQueryAlone(t *trial, s incident.ReportStore) {
	mustExhibit(t, s)
	query := func() incident.ReportQuery {
		q := reportOf(0, 10, 20, 40)
		q.Projects = []incident.ProjectID{api, db, web}
		q.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{api, db}}
		q.Labels = []incident.Label{{Name: "env", Value: "prod"}}
		return q
	}
	q := query()
	first := mustReport(t, s, q)
	wantEqual(t, "the query after Report", q, query())
	want := first
	want.Periods, want.Active = slices.Clone(first.Periods), maps.Clone(first.Active)
	scribble(q)
	second := mustReport(t, s, query())
	wantEqual(t, "the report after the first query was overwritten", second, want)
	scribble(first)
	wantEqual(t, "the report after another report was overwritten", second, want)
	wantEqual(t, "a new report after another report was overwritten", mustReport(t, s, query()), want)
}

// Report returns the error of a done context.
func reportObeysTheContext(t *trial, s incident.ReportStore) {
	mustExhibit(t, s)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, org := range []incident.OrganizationID{acme, "nobody"} {
		q := reportOf(0, 10)
		q.OrganizationID = org
		_, err := s.Report(cancelled, q)
		wantError(t, "Report() in a cancelled context", err, context.Canceled)
		_, err = s.Report(expired, q)
		wantError(t, "Report() in an expired context", err, context.DeadlineExceeded)
	}
}
