package incident

import (
	"context"
	"time"
)

// ReportStore is a [Store] that computes a [Report]. RunReport of package storetest proves a new
// one.
type ReportStore interface {
	Store

	// Report counts the events of the incidents that match q. The numbers must be of one
	// moment. An event at q.Bounds[i] or later and before q.Bounds[i+1] must count in period
	// i; other events must not count. The events of an incident are:
	//
	//   - the opening, at DateStarted;
	//   - the acknowledgement, at the DateAdded of the Acknowledged activity with the lowest
	//     sequence. Its duration is the time since DateStarted, or 0 if that is negative;
	//   - the closing, at DateClosed. Its duration is the time since DateStarted.
	//
	// In a transaction Report must see the writes of the transaction. No matching incident
	// is no error, in an unknown organization too. A [ReportTally] computes the numbers for
	// a store that can list the events only.
	Report(ctx context.Context, q ReportQuery) (ReportNumbers, error)
}

// ReportQuery is a [ReportFilter] as a [Store] receives it: validated, sorted and without
// repetitions.
type ReportQuery struct {
	OrganizationID OrganizationID
	Access         *ProjectAccess // see IncidentQuery
	Projects       []ProjectID    // any of them; empty does not restrict
	AlertRuleID    AlertRuleID    // empty does not restrict
	Labels         []Label        // all of them, in order of name

	// Bounds are 2 to [MaxReportDays] + 1 times in ascending order, without repetitions.
	Bounds []time.Time
}

// Incidents returns the conditions of q as the query of a list, which has no page and no window.
func (q ReportQuery) Incidents() IncidentQuery {
	return IncidentQuery{
		OrganizationID: q.OrganizationID, Access: q.Access, Projects: q.Projects, AlertRuleID: q.AlertRuleID, Labels: q.Labels,
	}
}

// ReportNumbers are the numbers of a [Report].
type ReportNumbers struct {
	// Total has the numbers of the whole time, and Periods has those of each period, in the
	// order of the bounds.
	Total   PeriodNumbers
	Periods []PeriodNumbers

	// Active counts, by status, the matching incidents that were active at the last bound.
	// Those started before the bound, and are not closed or were closed at the bound or
	// later. Each must count under the status that it had then:
	//
	//   - the PreviousValue of the StatusChange activity with the lowest sequence among
	//     those whose DateAdded is at the bound or later;
	//   - the present status if there is no such activity.
	//
	// An incident whose status was then Closed must not count. Statuses without an incident
	// may be missing.
	Active map[Status]int
}

// PeriodNumbers counts the events of a period.
type PeriodNumbers struct {
	Opened       int
	Acknowledged DurationNumbers
	Closed       DurationNumbers
}

// DurationNumbers summarizes durations in microseconds. All are 0 if there are none.
type DurationNumbers struct {
	Count int

	// Mean is the sum divided by Count, rounded down. The sum may exceed an int64.
	Mean int64

	// Median and P95 are the least of the durations that at least 50 and 95 percent of the
	// durations do not exceed.
	Median, P95 int64
}
