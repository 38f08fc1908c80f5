package incident

import (
	"math/bits"
	"slices"
	"sort"
	"time"
)

// ReportTally computes the [ReportNumbers] of a query from the events of the matching incidents,
// in any order. It keeps 8 bytes for each duration. It is not safe for concurrent use.
type ReportTally struct {
	bounds  []time.Time
	periods []tallied
	active  map[Status]int
}

// tallied has the events of a period.
type tallied struct {
	opened               int
	acknowledged, closed []int64 // durations in microseconds
}

// NewReportTally returns the tally of a query without events.
func NewReportTally(q ReportQuery) *ReportTally {
	return &ReportTally{bounds: q.Bounds, periods: make([]tallied, len(q.Bounds)-1), active: map[Status]int{}}
}

// period returns the period of an event, or nil.
func (t *ReportTally) period(at time.Time) *tallied {
	i := sort.Search(len(t.bounds), func(i int) bool { return t.bounds[i].After(at) }) - 1
	if i < 0 || i == len(t.periods) {
		return nil
	}
	return &t.periods[i]
}

// Opened adds an opening. It ignores openings outside all periods.
func (t *ReportTally) Opened(started time.Time) {
	if p := t.period(started); p != nil {
		p.opened++
	}
}

// Acknowledged adds a first acknowledgement. It ignores those outside all periods.
func (t *ReportTally) Acknowledged(started, at time.Time) {
	if p := t.period(at); p != nil {
		p.acknowledged = append(p.acknowledged, max(at.UnixMicro()-started.UnixMicro(), 0))
	}
}

// Closed adds a closing. It ignores closings outside all periods.
func (t *ReportTally) Closed(started, closed time.Time) {
	if p := t.period(closed); p != nil {
		p.closed = append(p.closed, closed.UnixMicro()-started.UnixMicro())
	}
}

// Active adds an incident that started before the last bound, and is not closed or was closed at
// the bound or later, with its status at the bound. It ignores [StatusClosed].
func (t *ReportTally) Active(status Status) {
	if status.Active() {
		t.active[status]++
	}
}

// Numbers returns the numbers of the added events. The tally must not be used afterwards.
func (t *ReportTally) Numbers() ReportNumbers {
	n := ReportNumbers{Periods: make([]PeriodNumbers, len(t.periods)), Active: t.active}
	var all tallied
	for i := range t.periods {
		p := &t.periods[i]
		all.opened += p.opened
		all.acknowledged = append(all.acknowledged, p.acknowledged...)
		all.closed = append(all.closed, p.closed...)
		n.Periods[i] = p.numbers()
	}
	n.Total = all.numbers()
	return n
}

func (p *tallied) numbers() PeriodNumbers {
	return PeriodNumbers{Opened: p.opened, Acknowledged: durationNumbers(p.acknowledged), Closed: durationNumbers(p.closed)}
}

// durationNumbers sorts durations, and returns their numbers.
func durationNumbers(durations []int64) DurationNumbers {
	if len(durations) == 0 {
		return DurationNumbers{}
	}
	slices.Sort(durations)
	var high, low, carry uint64 // the sum in 128 bits
	for _, d := range durations {
		low, carry = bits.Add64(low, uint64(d), 0)
		high += carry
	}
	mean, _ := bits.Div64(high, low, uint64(len(durations)))
	return DurationNumbers{
		Count: len(durations), Mean: int64(mean),
		Median: nearestRank(durations, 50), P95: nearestRank(durations, 95),
	}
}

// nearestRank returns the least of the sorted values that at least percent of them do not exceed.
func nearestRank(sorted []int64, percent int) int64 {
	rank := (len(sorted)*percent + 99) / 100 // rounded up
	return sorted[rank-1]
}
