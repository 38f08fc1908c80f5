package incident_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the machine's zones

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// mustDays returns the beginnings of the days of a report, and its end.
func mustDays(t *testing.T, m incident.Manager, start, end time.Time, loc *time.Location) []time.Time {
	t.Helper()
	r, err := m.Report(t.Context(), incident.ReportFilter{OrganizationID: "acme", Start: start, End: end, Location: loc})
	if err != nil {
		t.Fatalf("Report() from %v to %v = %v", start.In(loc), end.In(loc), err)
	}
	var bounds []time.Time
	for i, day := range r.Days {
		if i > 0 && !day.Start.Equal(r.Days[i-1].End) {
			t.Errorf("a day begins at %v, after the end of another at %v", day.Start, r.Days[i-1].End)
		}
		bounds = append(bounds, day.Start)
	}
	if !r.Total.Start.Equal(start) || !r.Total.End.Equal(end) || r.Total.Start.Location() != loc {
		t.Errorf("the report covers %v to %v, want %v to %v", r.Total.Start, r.Total.End, start.In(loc), end.In(loc))
	}
	return append(bounds, r.Days[len(r.Days)-1].End)
}

// A day begins at the first instant of its date, where midnight does not exist or exists twice.
func TestManager_Report_daysBeginAtTheFirstInstantOfTheirDate(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	for _, c := range []struct {
		zone, start, end string
		want             []string // the days between, in UTC
	}{
		{"UTC", "2024-02-28T12:00:00Z", "2024-03-01T12:00:00Z", []string{"2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"}},
		{"Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", []string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}},
		{"America/New_York", "2025-11-01T12:00:00Z", "2025-11-03T12:00:00Z", []string{"2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"}},
		// At midnight the clocks were set to 01:00.
		{"America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z", []string{"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}},
		{"Asia/Beirut", "2022-03-26T12:00:00Z", "2022-03-28T12:00:00Z", []string{"2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z"}},
		{"Africa/Cairo", "2023-04-27T12:00:00Z", "2023-04-29T12:00:00Z", []string{"2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z"}},
		{"America/Havana", "2024-03-09T12:00:00Z", "2024-03-11T12:00:00Z", []string{"2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z"}},
		// At midnight the clocks were set back to 23:00 of the same date.
		{"America/Sao_Paulo", "2018-02-17T12:00:00Z", "2018-02-19T12:00:00Z", []string{"2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"}},
		// At 01:00 the clocks were set back to midnight, which existed twice.
		{"America/Havana", "2023-11-04T12:00:00Z", "2023-11-06T12:00:00Z", []string{"2023-11-05T04:00:00Z", "2023-11-06T05:00:00Z"}},
		// At 00:01 the clocks were set back to 23:01 of the previous date.
		{"America/St_Johns", "2010-11-06T12:00:00Z", "2010-11-08T12:00:00Z", []string{"2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"}},
		{"America/St_Johns", "2010-11-07T02:30:30Z", "2010-11-07T04:00:00Z", nil},
		{"America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T04:00:00Z", nil},
		{"Asia/Gaza", "2011-07-30T12:00:00Z", "2011-08-02T12:00:00Z", []string{"2011-07-30T21:00:00Z", "2011-07-31T22:00:00Z", "2011-08-01T22:00:00Z"}},
		// 30 December 2011 did not exist.
		{"Pacific/Apia", "2011-12-28T20:00:00Z", "2012-01-01T20:00:00Z", []string{"2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2012-01-01T10:00:00Z"}},
		{"Pacific/Kwajalein", "1993-08-20T00:00:00Z", "1993-08-22T13:00:00Z", []string{"1993-08-20T12:00:00Z", "1993-08-21T12:00:00Z", "1993-08-22T12:00:00Z"}},
		// The offset was -00:44:30.
		{"Africa/Monrovia", "1971-12-30T12:00:00Z", "1972-01-01T12:00:00Z", []string{"1971-12-31T00:44:30Z", "1972-01-01T00:44:30Z"}},
		{"Asia/Kathmandu", "9999-12-30T12:00:00Z", "9999-12-31T12:00:00Z", []string{"9999-12-30T18:15:00Z"}},
		{"America/New_York", "9998-07-01T12:00:00Z", "9998-07-02T12:00:00Z", []string{"9998-07-02T04:00:00Z"}},
		{"Asia/Tokyo", "1970-01-01T00:00:00Z", "1970-01-01T16:00:00Z", []string{"1970-01-01T15:00:00Z"}},
		// The bounds are those of a day, and a microsecond beside.
		{"Asia/Tokyo", "2024-05-01T15:00:00Z", "2024-05-02T15:00:00Z", nil},
		{"Asia/Tokyo", "2024-05-01T14:59:59.999999Z", "2024-05-02T15:00:00.000001Z", []string{"2024-05-01T15:00:00Z", "2024-05-02T15:00:00Z"}},
		{"Asia/Tokyo", "2024-05-01T15:00:00.000001Z", "2024-05-02T14:59:59.999999Z", nil},
		{"Asia/Tokyo", "2024-05-01T15:00:00.000001Z", "2024-05-01T15:00:00.000002Z", nil},
	} {
		parse := func(text string) time.Time {
			parsed, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				t.Fatal(err)
			}
			return parsed
		}
		got := mustDays(t, m, parse(c.start), parse(c.end), mustZone(t, c.zone))
		between := got[1 : len(got)-1]
		if len(between) != len(c.want) {
			t.Errorf("in %s the days from %s to %s begin at %v, want %v", c.zone, c.start, c.end, between, c.want)
			continue
		}
		for i, want := range c.want {
			if !between[i].Equal(parse(want)) {
				t.Errorf("in %s a day from %s on begins at %v, want %s", c.zone, c.start, between[i].UTC(), want)
			}
		}
	}
}

// The days are those that a clock shows that is read every second.
func TestManager_Report_daysFollowTheClock(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	rng := rand.New(rand.NewPCG(2, 2018))
	zones := []string{
		"America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/Havana", "Pacific/Apia", "Asia/Gaza", "America/St_Johns",
		"Africa/Monrovia", "Africa/Casablanca", "Antarctica/Troll", "Asia/Tehran", "Australia/Lord_Howe", "America/Asuncion",
		"Asia/Amman", "Pacific/Kwajalein", "Europe/Dublin", "America/Scoresbysund", "Asia/Pyongyang", "America/Caracas", "UTC",
	}
	samples := 40
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		samples = 400
	}
	for range samples {
		loc := mustZone(t, zones[rng.IntN(len(zones))])
		// Near a change of the offset, where there is one.
		start := time.Date(1970+rng.IntN(75), 1, 3+rng.IntN(360), 0, 0, rng.IntN(86400), 0, time.UTC)
		if _, change := start.In(loc).ZoneBounds(); !change.IsZero() {
			start = change.Add(-time.Duration(rng.IntN(3*86400)) * time.Second).UTC()
		}
		end := start.Add(time.Duration(1+rng.IntN(4*86400)) * time.Second)
		want := []time.Time{start}
		latest := "0"
		for at := start.Add(-2 * 24 * time.Hour); at.Before(end); at = at.Add(time.Second) {
			if at.Second() > 1 && at.Second() != 30 && at.Second() != 31 { // no clock changes its date then
				continue
			}
			if date := at.In(loc).Format(time.DateOnly); date > latest {
				if latest = date; at.After(start) {
					want = append(want, at)
				}
			}
		}
		want = append(want, end)
		got := mustDays(t, m, start, end, loc)
		if len(got) != len(want) {
			t.Fatalf("in %s the days from %v to %v begin at %v, want %v", loc, start, end, got, want)
		}
		for i := range want {
			if !got[i].Equal(want[i]) {
				t.Errorf("in %s a day begins at %v, want %v", loc, got[i], want[i].In(loc))
			}
		}
	}
}

// The days do not depend on the start of the report.
func TestManager_Report_daysAreThoseOfOtherReports(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	for _, zone := range []string{"America/St_Johns", "Asia/Gaza", "Pacific/Apia", "America/Sao_Paulo"} {
		loc := mustZone(t, zone)
		year := time.Date(2010, 12, 5, 12, 0, 0, 0, time.UTC)
		end := year.AddDate(1, 0, 32)
		whole := mustDays(t, m, year, end, loc)
		for i := 1; i < len(whole)-1; i++ {
			for _, ahead := range []time.Duration{time.Microsecond, time.Minute, time.Hour, 23 * time.Hour} {
				part := mustDays(t, m, whole[i].Add(-ahead), whole[i+1], loc)
				if len(part) < 3 || !part[len(part)-2].Equal(whole[i]) || !part[len(part)-1].Equal(whole[i+1]) {
					t.Errorf("a report that starts %v before %v has days at %v", ahead, whole[i], part)
				}
			}
		}
	}
}

// Locations that no region has do not make the report hang or fail.
func TestManager_Report_acceptsAnyLocation(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	start := time.Date(2024, 2, 28, 12, 0, 0, 0, time.UTC)
	for _, offset := range []int{1, -1, 86399, -86399, 86400, -86400, 10 * 86400, -1000 * 86400, 1<<31 - 1, -1 << 31} {
		if days := mustDays(t, m, start, start.Add(3*24*time.Hour), time.FixedZone("odd", offset)); len(days) < 4 || len(days) > 5 {
			t.Errorf("three days have the bounds %v", days)
		}
	}
}

// A report has at most MaxReportDays, and parts of days count.
func TestManager_Report_limitsDays(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	start := time.Date(2024, 2, 28, 0, 0, 0, 0, time.UTC)
	end := start.AddDate(0, 0, incident.MaxReportDays)
	if days := mustDays(t, m, start, end, time.UTC); len(days) != incident.MaxReportDays+1 {
		t.Errorf("a report has %d days, want %d", len(days)-1, incident.MaxReportDays)
	}
	for _, bounds := range [][2]time.Time{
		{start, end.Add(time.Microsecond)},
		{start.Add(-time.Microsecond), end},
		{start.Add(-time.Microsecond), end.Add(-time.Microsecond)},
		{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
	} {
		f := incident.ReportFilter{OrganizationID: "acme", Start: bounds[0], End: bounds[1]}
		_, err := m.Report(t.Context(), f)
		wantField(t, err, "end")
	}
}
