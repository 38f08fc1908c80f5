package incident

import (
	"context"
	"fmt"
	"math"
	"time"
)

// MaxReportDays is the most days that a [Report] can have.
const MaxReportDays = 400

// ReportFilter selects the incidents and the time of a [Report]. An incident must meet all of
// its conditions; an empty condition does not restrict.
type ReportFilter struct {
	OrganizationID OrganizationID `json:"organizationId"` // required

	// Access restricts the report to the incidents that a user may see, as
	// [IncidentFilter.Access] does. Nil does not restrict.
	Access *ProjectAccess `json:"access,omitzero"`

	Projects    []ProjectID       `json:"projects,omitzero"` // any of them, at most [MaxProjects]
	AlertRuleID AlertRuleID       `json:"alertRule,omitzero"`
	Labels      map[string]string `json:"labels,omitzero"` // all of them

	// The report covers the time from Start until before End. Both are required.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`

	// Location determines where each day begins. Defaults to [time.UTC].
	Location *time.Location `json:"-"`
}

// Report has the numbers of a time. They are computed from present data: a closing that was
// undone by reopening the incident is not counted, and neither are deleted incidents.
type Report struct {
	// Total has the numbers of the whole time.
	Total ReportPeriod `json:"total"`

	// Days has the numbers of each calendar day, in order, also of days without events.
	// The first and the last may be parts of a day. A date that the location skipped has
	// no entry. There are at most [MaxReportDays].
	Days []ReportPeriod `json:"days"`

	// Active counts the incidents that were active at the End by the status that they
	// had then. It has an entry for each of [ActiveStatuses].
	Active map[Status]int `json:"active"`
}

// ReportPeriod has the numbers of a time. Each event is counted when it happened: the
// incidents that were closed may have been opened before.
type ReportPeriod struct {
	// Start and End bound the time, End excluded. They have the location of the filter.
	// A day begins at the first instant of its date: later than midnight if the clocks
	// skipped midnight, and at the first midnight if the clocks repeated it.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`

	// Opened is the number of incidents whose DateStarted is within the time.
	Opened int `json:"opened"`

	// Acknowledged summarizes the time from DateStarted to the first acknowledgement, of
	// the incidents that were first acknowledged within the time. A duration is 0 if the
	// start was moved behind the acknowledgement.
	Acknowledged DurationSummary `json:"acknowledged"`

	// Closed summarizes the time from DateStarted to DateClosed, of the incidents whose
	// DateClosed is within the time.
	Closed DurationSummary `json:"closed"`
}

// DurationSummary summarizes durations, in whole microseconds. All are 0 if there are none. A
// duration of more than 292 years is the longest [time.Duration].
type DurationSummary struct {
	Count int `json:"count"`

	// Mean is rounded down. Median and P95 are the least of the durations that at least 50
	// and 95 percent of the durations do not exceed.
	Mean   time.Duration `json:"mean"`
	Median time.Duration `json:"median"`
	P95    time.Duration `json:"p95"`
}

// ReportManager is the part of [Manager] for numbers over a time.
type ReportManager interface {
	// Report returns the numbers of an organization's incidents, as of one moment. They
	// are exact, and computed in the store. The store, or a store that it wraps, must be
	// a [ReportStore], as the stores of this module are: see [StoreAs].
	//
	// Report returns [ErrInvalid] if the time covers more than [MaxReportDays] days, or
	// parts of days.
	Report(ctx context.Context, f ReportFilter) (Report, error)
}

// query validates the filter and returns its canonical form.
func (f ReportFilter) query() (q ReportQuery, err error) {
	conditions, err := IncidentFilter{
		OrganizationID: f.OrganizationID, Access: f.Access, Projects: f.Projects, AlertRuleID: f.AlertRuleID, Labels: f.Labels,
	}.query(time.Time{})
	if err != nil {
		return q, err
	}
	start, err := checkRequiredBound("start", f.Start)
	if err != nil {
		return q, err
	}
	end, err := checkRequiredBound("end", f.End)
	if err != nil {
		return q, err
	}
	if !start.Before(end) {
		return q, invalid("end", "must be after start")
	}
	q = ReportQuery{
		OrganizationID: conditions.OrganizationID, Access: conditions.Access, Projects: conditions.Projects,
		AlertRuleID: conditions.AlertRuleID, Labels: conditions.Labels,
	}
	q.Bounds, err = dayBounds(start, end, f.location())
	return q, err
}

// location returns the location of the days.
func (f ReportFilter) location() *time.Location {
	if f.Location == nil {
		return time.UTC
	}
	return f.Location
}

func checkRequiredBound(field string, t time.Time) (time.Time, error) {
	if t.IsZero() {
		return t, invalid(field, "is required")
	}
	return checkBound(field, t)
}

// check returns an error if the store has answered another query, or wrongly.
func (n *ReportNumbers) check(q *ReportQuery) error {
	if got, want := len(n.Periods), len(q.Bounds)-1; got != want {
		return fmt.Errorf("%w: the store returned a report of %d periods, want %d", ErrUnavailable, got, want)
	}
	var sum PeriodNumbers
	isWrong := n.Total.isWrong()
	for i := range n.Periods {
		p := &n.Periods[i]
		isWrong = isWrong || p.isWrong()
		sum.Opened += p.Opened
		sum.Acknowledged.Count += p.Acknowledged.Count
		sum.Closed.Count += p.Closed.Count
	}
	if isWrong || sum.Opened != n.Total.Opened || sum.Acknowledged.Count != n.Total.Acknowledged.Count ||
		sum.Closed.Count != n.Total.Closed.Count {
		return fmt.Errorf("%w: the store returned a report whose numbers contradict each other", ErrUnavailable)
	}
	return nil
}

func (p *PeriodNumbers) isWrong() bool {
	return p.Opened < 0 || p.Acknowledged.isWrong() || p.Closed.isWrong()
}

// isWrong reports whether no durations have these numbers.
func (n *DurationNumbers) isWrong() bool {
	if n.Count <= 0 {
		return *n != DurationNumbers{}
	}
	return n.Mean < 0 || n.Median < 0 || n.P95 < n.Median
}

// report returns the numbers in the form of the filter.
func (n *ReportNumbers) report(bounds []time.Time, loc *time.Location) Report {
	last := len(bounds) - 1
	r := Report{
		Total:  n.Total.period(bounds[0].In(loc), bounds[last].In(loc)),
		Days:   make([]ReportPeriod, last),
		Active: make(map[Status]int, len(ActiveStatuses())),
	}
	for i := range r.Days {
		r.Days[i] = n.Periods[i].period(bounds[i].In(loc), bounds[i+1].In(loc))
	}
	for _, s := range ActiveStatuses() {
		r.Active[s] = n.Active[s]
	}
	return r
}

func (p *PeriodNumbers) period(start, end time.Time) ReportPeriod {
	return ReportPeriod{Start: start, End: end, Opened: p.Opened, Acknowledged: p.Acknowledged.summary(), Closed: p.Closed.summary()}
}

func (n *DurationNumbers) summary() DurationSummary {
	return DurationSummary{Count: n.Count, Mean: durationOf(n.Mean), Median: durationOf(n.Median), P95: durationOf(n.P95)}
}

// durationOf returns a duration in microseconds, or the longest if that is too long.
func durationOf(micro int64) time.Duration {
	if micro > math.MaxInt64/int64(time.Microsecond) {
		return math.MaxInt64
	}
	return time.Duration(micro) * time.Microsecond
}
