package incident

import "time"

// The days of a report begin where the local date changes. [time.Date] does not tell when that
// is: midnight may not exist, because the clocks were set forward at that time, or exist twice,
// and a whole date may be missing. Even the order of local dates is not that of time: clocks
// that are set back from 00:01 to 23:01 return to the previous date for an hour.
//
// A day begins at the first instant of its date or, if its date is missing, not at all. That is
// a property of the location alone: reports with different starts have the same days. To find
// these instants,
//
//  1. the time is cut where the location changes its offset from UTC. In each piece local
//     dates ascend, one every 24 hours;
//  2. the pieces are visited in order, with the latest date so far. The beginning of a piece
//     begins a day if its date is later, and so does each midnight of a later date.
//
// The visit begins some time before the report, since the first piece may repeat a date.

const (
	secondsPerDay = 24 * 60 * 60

	// dayLead is longer than any clock was ever set back.
	dayLead = 3 * 24 * time.Hour
)

// dayBounds returns start, the beginnings of the days between start and end, and end. They
// ascend. It returns an error if they bound more than [MaxReportDays] periods.
func dayBounds(start, end time.Time, loc *time.Location) ([]time.Time, error) {
	bounds := []time.Time{start}
	piece := start.Add(-dayLead).In(loc)
	latest := localDay(piece)
	add := func(unix int64) (more bool) {
		if t := time.Unix(unix, 0).UTC(); t.After(start) {
			if !t.Before(end) || len(bounds) > MaxReportDays {
				return false
			}
			bounds = append(bounds, t)
		}
		return true
	}
	for more := true; more && piece.Before(end); {
		_, next := piece.ZoneBounds()
		isLast := !next.After(piece) // the offset is constant from here on
		_, offset := piece.Zone()
		if day := localDay(piece); day > latest {
			latest, more = day, add(piece.Unix())
		}
		for more {
			midnight := (latest+1)*secondsPerDay - int64(offset)
			if !isLast && midnight >= next.Unix() {
				break
			}
			if more = add(midnight); more {
				latest++
			}
		}
		piece = next
		more = more && !isLast
	}
	if len(bounds) > MaxReportDays {
		return nil, invalid("end", "must be at most %d days after start, parts of days included", MaxReportDays)
	}
	return append(bounds, end), nil
}

// localDay numbers the local dates.
func localDay(t time.Time) int64 {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay
}
