package storetest

import (
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// An opening counts in the period of DateStarted: from the first bound of the period, included, to
// the second, excluded. The present status does not matter.
func reportCountsOpenings(t *trial, s incident.ReportStore) {
	const micro = time.Microsecond
	for _, started := range []time.Time{
		minute(0).Add(-micro), minute(0), minute(5), minute(10).Add(-micro),
		minute(10), minute(10).Add(micro), minute(30), minute(30), minute(40).Add(-micro), minute(40), minute(99),
	} {
		mustCreate(t, s, startedAt(started))
	}
	q := reportOf(0, 10, 20, 40)
	want := openings(3, 2, 3)
	want.Active = map[incident.Status]int{incident.StatusOpen: 9}
	wantNumbers(t, s, q, want)

	mustCreate(t, s, closedBetween(minute(10), minute(60)))
	critical := startedAt(minute(20))
	critical.Status = incident.StatusCritical
	mustCreate(t, s, critical)
	want = openings(3, 3, 4)
	want.Active = map[incident.Status]int{incident.StatusOpen: 9, incident.StatusCritical: 1} // the log tells no other status of the closed one
	wantNumbers(t, s, q, want)
}

// A closing counts in the period of DateClosed, wherever the incident was opened.
func reportCountsClosings(t *trial, s incident.ReportStore) {
	const micro = time.Microsecond
	for _, closed := range []time.Time{
		minute(0).Add(-micro), minute(0), minute(10).Add(-micro), minute(10), minute(10), minute(20),
		minute(40).Add(-micro), minute(40), minute(50),
	} {
		mustCreate(t, s, closedBetween(closed.Add(-time.Hour), closed))
	}
	mustCreate(t, s, closedBetween(minute(25), minute(25))) // at once
	want := openings(0, 0, 1)
	want.Total.Closed = incident.DurationNumbers{
		Count: 7, Mean: time.Hour.Microseconds() * 6 / 7, Median: time.Hour.Microseconds(), P95: time.Hour.Microseconds(),
	}
	want.Periods[0].Closed = same(2, time.Hour)
	want.Periods[1].Closed = same(2, time.Hour)
	want.Periods[2].Closed = incident.DurationNumbers{
		Count: 3, Mean: time.Hour.Microseconds() * 2 / 3, Median: time.Hour.Microseconds(), P95: time.Hour.Microseconds(),
	}
	wantNumbers(t, s, reportOf(0, 10, 20, 40), want)
}

// The acknowledgement of an incident is that with the lowest sequence, whatever its date, and
// whatever the incident's response is now. A later acknowledgement does not count, not even in
// other periods. The duration is not negative.
func reportCountsFirstAcknowledgements(t *trial, s incident.ReportStore) {
	const micro = time.Microsecond
	for i, dates := range [][]time.Time{
		{minute(0)},
		{minute(10).Add(-micro), minute(10)},   // the second in another period
		{minute(10), minute(12)},               // both in one period
		{minute(-1), minute(5)},                // the first before the report
		{minute(99), minute(15)},               // the first after the report
		{minute(30), minute(5)},                // the second is dated earlier
		{minute(40).Add(-micro)},               // the last instant of the report
		{minute(40)},                           // the end of the report
		{minute(0).Add(-micro)},                // the instant before the report
		{minute(20), minute(20), minute(20)},   // at the same time
		{minute(-60), minute(-60), minute(25)}, // twice before the report
	} {
		inc := closedBetween(minute(-20), minute(200))
		if i%2 == 0 {
			inc = startedAt(minute(-20))
		}
		mustAdd(t, s, mustCreate(t, s, inc).Incident.Key(), incident.ActivityTypeAcknowledged, dates...)
	}
	late := mustCreate(t, s, startedAt(minute(15))).Incident.Key()
	mustAdd(t, s, late, incident.ActivityTypeAcknowledged, minute(14))

	got := mustReport(t, s, reportOf(0, 10, 20, 40))
	minutes := func(n float64) int64 { return int64(n * float64(time.Minute.Microseconds())) }
	wantEqual(t, "the acknowledgements of the first period", got.Periods[0].Acknowledged, incident.DurationNumbers{
		Count: 2, Mean: (minutes(50) - 1) / 2, Median: minutes(20), P95: minutes(30) - 1,
	})
	wantEqual(t, "the acknowledgements of the second period", got.Periods[1].Acknowledged, incident.DurationNumbers{
		Count: 2, Mean: minutes(15), Median: 0, P95: minutes(30),
	})
	wantEqual(t, "the acknowledgements of the third period", got.Periods[2].Acknowledged, incident.DurationNumbers{
		Count: 3, Mean: (minutes(150) - 1) / 3, Median: minutes(50), P95: minutes(60) - 1,
	})
	wantEqual(t, "the acknowledgements of all periods", got.Total.Acknowledged, incident.DurationNumbers{
		Count: 7, Mean: (minutes(230) - 2) / 7, Median: minutes(30), P95: minutes(60) - 1,
	})
}

// Activities other than acknowledgements and changes of the status have no effect.
func reportIgnoresOtherActivities(t *trial, s incident.ReportStore) {
	key := mustCreate(t, s, startedAt(minute(1))).Incident.Key()
	for _, typ := range []incident.ActivityType{
		incident.ActivityTypeCreated, incident.ActivityTypeDetected, incident.ActivityTypeComment, incident.ActivityTypeUnacknowledged,
		incident.ActivityTypeAssigned, incident.ActivityTypeEdited, incident.ActivityTypeTriggerFired,
		incident.ActivityTypeMarkedDuplicate,
	} {
		a := activity(key, typ)
		a.DateAdded, a.PreviousValue, a.Value = minute(15), incident.StatusCritical, incident.StatusClosed
		mustApply(t, s, incident.Change{Key: key, Activities: []incident.Activity{a}})
	}
	want := openings(1, 0)
	want.Active = map[incident.Status]int{incident.StatusOpen: 1}
	wantNumbers(t, s, reportOf(0, 10, 20), want)
	wantNumbers(t, s, reportOf(0, 10), incident.ReportNumbers{
		Total: want.Total, Periods: want.Periods[:1], Active: want.Active,
	})
}

// Mean is rounded down. Median and P95 are nearest ranks, for every number of durations.
func reportSummarizesDurations(t *trial, s incident.ReportStore) {
	var durations []int64
	for i := range 61 {
		// Not in order, with repetitions, and with a sum that few numbers divide.
		d := time.Duration(i*37%61/2*2)*time.Second + time.Duration(i%3)*time.Microsecond
		durations = append(durations, d.Microseconds())
		st := mustCreate(t, s, closedBetween(minute(1), minute(1).Add(d)))
		mustAdd(t, s, st.Incident.Key(), incident.ActivityTypeAcknowledged, minute(1).Add(d))
		if i > 42 && i%20 != 0 {
			continue
		}
		want := openings(i + 1)
		want.Total.Acknowledged, want.Total.Closed = reckonDurations(durations), reckonDurations(durations)
		want.Periods[0] = want.Total
		wantNumbers(t, s, reportOf(0, 60), want)
	}
}

// The numbers of the whole time are those of all its events, not of its periods.
func reportSummarizesTheWholeTime(t *trial, s incident.ReportStore) {
	for _, closed := range [][2]int{{1, 2}, {1, 3}, {1, 4}, {11, 19}, {21, 26}, {21, 27}, {21, 28}, {21, 29}} {
		mustCreate(t, s, closedBetween(minute(closed[0]), minute(closed[1])))
	}
	got := mustReport(t, s, reportOf(0, 10, 20, 30))
	minutes := time.Minute.Microseconds()
	wantEqual(t, "the closings of all periods", got.Total.Closed,
		incident.DurationNumbers{Count: 8, Mean: 40 * minutes / 8, Median: 5 * minutes, P95: 8 * minutes})
	wantEqual(t, "the closings of the third period", got.Periods[2].Closed,
		incident.DurationNumbers{Count: 4, Mean: 26 * minutes / 4, Median: 6 * minutes, P95: 8 * minutes})
	if got.Total.Opened != 8 {
		t.Errorf("the report counts %d openings, want 8", got.Total.Opened)
	}
}

// Durations may be longer than a time.Duration, and their sum may exceed an int64.
func reportMaySpanCenturies(t *trial, s incident.ReportStore) {
	first := time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC)
	longest := last.UnixMicro() - first.UnixMicro()
	n := int(math.MaxInt64/longest) + 3
	for i := range n {
		inc := closedBetween(first, last)
		if i == 0 {
			inc.DateStarted = first.Add(time.Microsecond)
		}
		mustAdd(t, s, mustCreate(t, s, inc).Incident.Key(), incident.ActivityTypeAcknowledged, last)
	}
	want := incident.DurationNumbers{Count: n, Mean: longest - 1, Median: longest, P95: longest}
	got := mustReport(t, s, incident.ReportQuery{
		OrganizationID: acme, Bounds: []time.Time{first, first.Add(time.Hour), last, last.Add(time.Microsecond)},
	})
	wantEqual(t, "the closings of 8,000 years", got.Total.Closed, want)
	wantEqual(t, "the acknowledgements of 8,000 years", got.Total.Acknowledged, want)
	wantEqual(t, "the closings of the last microsecond", got.Periods[2].Closed, want)
	wantEqual(t, "the openings of the first hour", got.Periods[0].Opened, n)

	got = mustReport(t, s, incident.ReportQuery{OrganizationID: acme, Bounds: []time.Time{minute(0), minute(10)}})
	if got.Total != (incident.PeriodNumbers{}) {
		t.Errorf("the report of ten minutes without an event has %s", show(got))
	}
}
