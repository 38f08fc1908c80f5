package managertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // the days do not depend on the machine's zones

	"github.com/incidentkit/incident"
)

// reportZones returns zones whose clocks changed near the start of the model's clock, or near a report.
// In Almaty the clocks were set back when 1 March 2024 would have begun. In Apia 30 December 2011 is
// missing.
var reportZones = sync.OnceValue(func() []*time.Location {
	return []*time.Location{
		mustLocation("Asia/Almaty"), mustLocation("America/New_York"), mustLocation("Asia/Gaza"), mustLocation("Pacific/Apia"),
	}
})

// reports are reads of the numbers of an organization.
func reports(w *world, org incident.OrganizationID) []call {
	zones := reportZones()
	f := incident.ReportFilter{OrganizationID: org}
	everything, visible, projects, labeled := f, f, f, f
	everything.Start, everything.End, everything.Location = start.Add(-60*time.Hour), w.now.Add(20*24*time.Hour+999), zones[0]
	visible.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{"p"}}
	visible.Start, visible.End, visible.Location = start.Add(-7*time.Hour), later(w.now, start).Add(15*24*time.Hour), zones[1]
	projects.Projects, projects.AlertRuleID = []incident.ProjectID{"é", "p"}, rules[0]
	projects.Start, projects.End, projects.Location = start.In(zone), later(w.now, start).Add(time.Microsecond), zones[2]
	labeled.Labels = map[string]string{"service": "checkout"}
	labeled.Start, labeled.End = start.Add(-time.Hour), start.Add(40*time.Minute)
	long := f
	long.Start, long.End, long.Location = time.Date(2011, 12, 28, 3, 0, 0, 0, time.UTC), time.Date(2012, 1, 2, 0, 0, 0, 0, time.UTC), zones[3]
	return []call{report(everything), report(visible), report(projects), report(labeled), report(long)}
}

func mustLocation(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // the data is part of the program
	}
	return loc
}

// later returns the time, or a second after start if that is later.
func later(t, start time.Time) time.Time {
	if least := start.Add(time.Second); t.Before(least) {
		return least
	}
	return t
}

// reportAnswer has the numbers of a report, with the dates of its days.
type reportAnswer struct {
	Total  incident.ReportPeriod
	Dates  []string
	Days   []incident.ReportPeriod // without Start and End
	Active map[incident.Status]int
}

// report compares the numbers of days by the local dates of events. The beginnings of the days are
// compared by their dates.
func report(f incident.ReportFilter) call {
	return call{
		name: "Report", args: []any{f, f.Location}, orgs: only(f.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			lent := f
			back := func() error { return nil }
			if len(f.Projects) > 0 {
				lent.Projects, back = lend(f.Projects)
			}
			r, err := m.Report(ctx, lent)
			if err == nil {
				err = back()
			}
			if err != nil {
				return nil, err
			}
			return reportAnswerOf(r)
		},
		expect: func(w *world) (any, error) { return w.report(f), nil },
	}
}

// reportAnswerOf checks that the days are adjacent and begin with their dates.
func reportAnswerOf(r incident.Report) (any, error) {
	n := reportAnswer{Total: r.Total, Active: r.Active}
	next := r.Total.Start
	for i, day := range r.Days {
		date := day.Start.Format(time.DateOnly)
		if day.Start != next || i > 0 && day.Start.Add(-time.Microsecond).Format(time.DateOnly) >= date {
			return nil, fmt.Errorf("day %d of the report begins at %v", i+1, day.Start)
		}
		next = day.End
		day.Start, day.End = time.Time{}, time.Time{}
		n.Dates, n.Days = append(n.Dates, date), append(n.Days, day)
	}
	if next != r.Total.End {
		return nil, fmt.Errorf("the last day of the report ends at %v, want %v", next, r.Total.End)
	}
	return n, nil
}

func (w *world) report(f incident.ReportFilter) reportAnswer {
	loc := f.Location
	if loc == nil {
		loc = time.UTC
	}
	begin, end := cut(f.Start), cut(f.End)
	n := reportAnswer{Active: map[incident.Status]int{incident.StatusOpen: 0, incident.StatusWarning: 0, incident.StatusCritical: 0}}
	var records []*record
	list := incident.IncidentFilter{Access: f.Access, Projects: f.Projects, AlertRuleID: f.AlertRuleID, Labels: f.Labels}
	for r := range w.org(f.OrganizationID).living() {
		if !w.matches(r.incident, list) {
			continue
		}
		records = append(records, r)
		if status := r.statusAt(end); r.incident.DateStarted.Before(end) && status != incident.StatusClosed &&
			(r.incident.DateClosed == nil || !r.incident.DateClosed.Before(end)) {
			n.Active[status]++
		}
	}
	n.Total = periodOf(records, func(t time.Time) bool { return !t.Before(begin) && t.Before(end) })
	n.Total.Start, n.Total.End = begin.In(loc), end.In(loc)
	// An hour is shorter than a day, so that no date is missed.
	for t := begin; t.Before(end); t = t.Add(time.Hour) {
		n.Dates = append(n.Dates, t.In(loc).Format(time.DateOnly))
	}
	n.Dates = append(n.Dates, end.Add(-time.Microsecond).In(loc).Format(time.DateOnly))
	slices.Sort(n.Dates)
	n.Dates = slices.Compact(n.Dates)
	for _, date := range n.Dates {
		n.Days = append(n.Days, periodOf(records, func(t time.Time) bool {
			return !t.Before(begin) && t.Before(end) && t.In(loc).Format(time.DateOnly) == date
		}))
	}
	return n
}

// statusAt returns the status that the incident had at a time, by the changes since.
func (r *record) statusAt(t time.Time) incident.Status {
	for _, a := range r.activities {
		if a.Type == incident.ActivityTypeStatusChange && !a.DateAdded.Before(t) {
			return a.PreviousValue
		}
	}
	return r.incident.Status
}

// periodOf summarizes the events at the times of a period.
func periodOf(records []*record, has func(time.Time) bool) (p incident.ReportPeriod) {
	var acknowledged, closed []time.Duration
	for _, r := range records {
		if has(r.incident.DateStarted) {
			p.Opened++
		}
		if c := r.incident.DateClosed; c != nil && has(*c) {
			closed = append(closed, c.Sub(r.incident.DateStarted))
		}
		i := slices.IndexFunc(r.activities, func(a incident.Activity) bool { return a.Type == incident.ActivityTypeAcknowledged })
		if i >= 0 && has(r.activities[i].DateAdded) {
			acknowledged = append(acknowledged, max(0, r.activities[i].DateAdded.Sub(r.incident.DateStarted)))
		}
	}
	p.Acknowledged, p.Closed = summaryOf(acknowledged), summaryOf(closed)
	return p
}

// summaryOf summarizes few durations, whose sum does not overflow.
func summaryOf(durations []time.Duration) (s incident.DurationSummary) {
	if s.Count = len(durations); s.Count == 0 {
		return s
	}
	sum := time.Duration(0)
	for _, d := range durations {
		sum += d
	}
	s.Mean = (sum / time.Duration(s.Count)).Truncate(time.Microsecond)
	slices.Sort(durations)
	for i, d := range slices.Backward(durations) {
		if atMost := i + 1; atMost*2 >= s.Count {
			s.Median = d
		}
		if atMost := i + 1; atMost*20 >= s.Count*19 {
			s.P95 = d
		}
	}
	return s
}
