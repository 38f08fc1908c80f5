package console

import (
	"cmp"
	"slices"
	"time"
)

// span is a time from Start to End.
type span struct{ Start, End time.Time }

func (s span) length() time.Duration { return s.End.Sub(s.Start) }

// percent returns the place of a time in the span, from 0 to 100.
func (s span) percent(t time.Time) float64 {
	return min(100, max(0, 100*float64(t.Sub(s.Start))/float64(s.length())))
}

// within returns the part of s in another span.
func (s span) within(window span) span {
	if s.Start.Before(window.Start) {
		s.Start = window.Start
	}
	if s.End.After(window.End) {
		s.End = window.End
	}
	return s
}

// widened returns the span with at least a length. It ends at the limit or before.
func (s span) widened(least time.Duration, limit time.Time) span {
	if s.length() < least {
		s.End = s.Start.Add(least)
		if s.End.After(limit) {
			s = span{limit.Add(-least), limit}
		}
	}
	return s
}

// stack returns a row for each span, so that no two spans of a row overlap, and the number of
// rows, which is minimal. A span may begin in the moment in which another ends.
//
// Each span, in order of its start, gets the first row that is free. If it needs a further row, the
// spans at its start fill all others, so that no arrangement has fewer.
func stack(spans []span) (rows []int, n int) {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(spans[a].Start.Compare(spans[b].Start), spans[a].End.Compare(spans[b].End))
	})
	rows = make([]int, len(spans))
	var ends []time.Time // of the last span of each row
	for _, i := range order {
		row := slices.IndexFunc(ends, func(end time.Time) bool { return !end.After(spans[i].Start) })
		if row < 0 {
			row, ends = len(ends), append(ends, time.Time{})
		}
		rows[i], ends[row] = row, spans[i].End
	}
	return rows, len(ends)
}

// tick is a mark of a time axis.
type tick struct {
	At   time.Time
	Text string
}

// maxTicks is the most marks of an axis, so that their texts fit on a phone.
const maxTicks = 8

// steps are the distances of marks, in hours, days and months.
var steps = []struct{ hours, days, months int }{
	{hours: 1},
	{hours: 2},
	{hours: 3},
	{hours: 6},
	{hours: 12},
	{days: 1},
	{days: 2},
	{days: 7},
	{days: 14},
	{months: 1},
	{months: 3},
	{months: 6},
	{months: 12},
	{months: 60},
	{months: 240},
}

// ticks returns the marks of a window: full hours, midnights or first days of months in the zone.
// A day may have 23 or 25 hours.
func ticks(window span, zone *time.Location) (marks []tick) {
	const day = 24 * time.Hour
	for _, s := range steps {
		length := time.Duration(s.hours)*time.Hour + time.Duration(s.days)*day + time.Duration(s.months)*30*day
		if window.length() > maxTicks*length {
			continue
		}
		switch {
		case s.hours > 0:
			return hourTicks(window, zone, s.hours)
		case s.days > 0:
			return dayTicks(window, zone, 0, s.days, "2 Jan")
		default:
			return dayTicks(window, zone, s.months, 0, "Jan 2006")
		}
	}
	return nil
}

// hourTicks returns the marks at each multiple of so many hours of the day, and at the first moment
// of a day. A clock that is put back shows an hour twice: the first has the mark.
func hourTicks(window span, zone *time.Location, hours int) (marks []tick) {
	const step = 15 * time.Minute // of all zones' offsets
	shown := ""
	for t := window.Start.Truncate(step); !t.After(window.End); t = t.Add(step) {
		local := t.In(zone)
		dawn := t.Add(-step).In(zone).Day() != local.Day()
		if !dawn && (local.Minute() != 0 || local.Hour()%hours != 0) || t.Before(window.Start) {
			continue
		}
		if wall := local.Format("2 15"); wall != shown {
			shown = wall
			text := local.Format("15:04")
			if dawn {
				text = local.Format("2 Jan")
			}
			marks = append(marks, tick{t, text})
		}
	}
	return marks
}

// dayTicks returns the marks at midnights, so many months and days apart.
func dayTicks(window span, zone *time.Location, months, days int, format string) (marks []tick) {
	y, m, d := window.Start.In(zone).Date()
	if months > 0 {
		m, d = 1, 1
	}
	for range 1000 {
		t := midnight(y, m, d, zone)
		if t.After(window.End) {
			break
		}
		if !t.Before(window.Start) {
			marks = append(marks, tick{t, t.Format(format)})
		}
		y, m, d = time.Date(y, m+time.Month(months), d+days, 12, 0, 0, 0, time.UTC).Date()
	}
	return marks
}

// midnight returns the first moment of a day. Where the clock is put forward at midnight, the day
// begins at 1:00.
func midnight(y int, m time.Month, d int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if t.Hour() == 23 {
		t = t.Add(time.Hour)
	}
	return t
}
