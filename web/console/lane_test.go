package console

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var origin = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

func spanOf(start, end int) span {
	return span{origin.Add(time.Duration(start) * time.Minute), origin.Add(time.Duration(end) * time.Minute)}
}

func TestStack(t *testing.T) {
	for name, c := range map[string]struct {
		spans []span
		rows  []int
		n     int
	}{
		"nothing":            {nil, nil, 0},
		"apart":              {[]span{spanOf(0, 1), spanOf(5, 6)}, []int{0, 0}, 1},
		"one after another":  {[]span{spanOf(5, 6), spanOf(0, 5)}, []int{0, 0}, 1},
		"overlapping":        {[]span{spanOf(0, 5), spanOf(4, 6)}, []int{0, 1}, 2},
		"a free row is used": {[]span{spanOf(0, 9), spanOf(1, 3), spanOf(3, 5)}, []int{0, 1, 1}, 2},
		"the same":           {[]span{spanOf(0, 9), spanOf(0, 9), spanOf(0, 9)}, []int{0, 1, 2}, 3},
		"the newest first":   {[]span{spanOf(8, 9), spanOf(2, 7), spanOf(0, 3)}, []int{0, 1, 0}, 2},
	} {
		if rows, n := stack(c.spans); !slices.Equal(rows, c.rows) || n != c.n {
			t.Errorf("%s: rows %v of %d, want %v of %d", name, rows, n, c.rows, c.n)
		}
	}
}

// No arrangement of random spans has fewer rows, and none of the rows has spans that overlap.
func TestStack_isMinimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		spans := make([]span, rng.IntN(8))
		for i := range spans {
			start := rng.IntN(20)
			spans[i] = spanOf(start, start+1+rng.IntN(8))
		}
		rows, n := stack(spans)
		for i := range spans {
			for j := range i {
				if rows[i] == rows[j] && overlap(spans[i], spans[j]) {
					t.Fatalf("spans %v and %v overlap in row %d", spans[i], spans[j], rows[i])
				}
			}
			if rows[i] < 0 || rows[i] >= n {
				t.Fatalf("row %d of %d", rows[i], n)
			}
		}
		if fewer := n - 1; fewer >= 0 && len(spans) > 0 && arrangeable(spans, make([]int, 0, len(spans)), fewer) {
			t.Fatalf("%d rows for %v, which fit into %d", n, spans, fewer)
		}
	}
}

func overlap(a, b span) bool { return a.Start.Before(b.End) && b.Start.Before(a.End) }

// arrangeable tries all rows for the spans after those that have some.
func arrangeable(spans []span, rows []int, n int) bool {
	i := len(rows)
	if i == len(spans) {
		return true
	}
next:
	for row := range n {
		for j, other := range rows {
			if other == row && overlap(spans[i], spans[j]) {
				continue next
			}
		}
		if arrangeable(spans, append(rows, row), n) {
			return true
		}
	}
	return false
}

func TestSpan(t *testing.T) {
	window := spanOf(100, 200)
	for _, c := range []struct {
		at, want span
	}{
		{spanOf(110, 120), spanOf(110, 120)},
		{spanOf(0, 300), spanOf(100, 200)},
		{spanOf(110, 111), spanOf(110, 120)},
		{spanOf(199, 201), spanOf(190, 200)},
		{spanOf(200, 300), spanOf(190, 200)},
		{spanOf(50, 100), spanOf(100, 110)},
	} {
		if got := c.at.within(window).widened(10*time.Minute, window.End); got != c.want {
			t.Errorf("%v is drawn as %v, want %v", c.at, got, c.want)
		}
	}
	if got := window.percent(origin.Add(125 * time.Minute)); got != 25 {
		t.Errorf("a quarter is %v %%", got)
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		zone     string
		from, to string // in UTC
		want     string // the time in UTC and the text of each mark
	}{
		{"UTC", "2026-11-26T09:17", "2026-11-26T13:17", "10:00=10:00 11:00=11:00 12:00=12:00 13:00=13:00"},
		{"UTC", "2026-11-25T09:17", "2026-11-26T09:17", "12:00=12:00 15:00=15:00 18:00=18:00 21:00=21:00 00:00=26 Nov 03:00=03:00 06:00=06:00 09:00=09:00"},
		{"Asia/Kolkata", "2026-11-25T09:17", "2026-11-26T09:17", "09:30=15:00 12:30=18:00 15:30=21:00 18:30=26 Nov 21:30=03:00 00:30=06:00 03:30=09:00 06:30=12:00"},
		// The clock is put forward at 1:00 UTC: a day of 23 hours.
		{"Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00", "23:00=29 Mar 01:00=03:00 04:00=06:00 07:00=09:00 10:00=12:00 13:00=15:00 16:00=18:00 19:00=21:00 22:00=30 Mar"},
		{"Europe/Berlin", "2026-03-26T12:00", "2026-03-31T12:00", "23:00=27 Mar 23:00=28 Mar 23:00=29 Mar 22:00=30 Mar 22:00=31 Mar"},
		// It is put back at 1:00 UTC: 2:00 comes twice.
		{"Europe/Berlin", "2026-10-24T23:00", "2026-10-25T04:00", "23:00=01:00 00:00=02:00 02:00=03:00 03:00=04:00 04:00=05:00"},
		{"Europe/Berlin", "2026-10-22T12:00", "2026-10-27T12:00", "22:00=23 Oct 22:00=24 Oct 22:00=25 Oct 23:00=26 Oct 23:00=27 Oct"},
		// At midnight it is put forward, or back to the day before.
		{"Africa/Cairo", "2026-04-21T12:00", "2026-04-26T12:00", "22:00=22 Apr 22:00=23 Apr 22:00=24 Apr 21:00=25 Apr 21:00=26 Apr"},
		{"Africa/Cairo", "2026-04-23T20:00", "2026-04-24T02:00", "20:00=22:00 21:00=23:00 22:00=24 Apr 23:00=02:00 00:00=03:00 01:00=04:00 02:00=05:00"},
		{"America/Havana", "2026-10-29T12:00", "2026-11-03T12:00", "04:00=30 Oct 04:00=31 Oct 04:00=1 Nov 05:00=2 Nov 05:00=3 Nov"},
		{"America/Havana", "2026-03-05T12:00", "2026-03-10T12:00", "05:00=6 Mar 05:00=7 Mar 05:00=8 Mar 04:00=9 Mar 04:00=10 Mar"},
		{"Atlantic/Azores", "2026-10-22T12:00", "2026-10-27T12:00", "00:00=23 Oct 00:00=24 Oct 00:00=25 Oct 01:00=26 Oct 01:00=27 Oct"},
		{"America/Havana", "2026-11-01T02:30", "2026-11-01T08:00", "03:00=23:00 04:00=1 Nov 06:00=01:00 07:00=02:00 08:00=03:00"},
		{"UTC", "2026-01-15T00:00", "2026-07-15T00:00", "00:00=Feb 2026 00:00=Mar 2026 00:00=Apr 2026 00:00=May 2026 00:00=Jun 2026 00:00=Jul 2026"},
	} {
		window := span{mustTime(t, c.from), mustTime(t, c.to)}
		var got []string
		for _, m := range ticks(window, zone(t, c.zone)) {
			got = append(got, m.At.UTC().Format("15:04")+"="+m.Text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s from %s to %s:\n%s, want\n%s", c.zone, c.from, c.to, strings.Join(got, " "), c.want)
		}
	}
}

func mustTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Any window in any zone has marks in order, within the window, and not too many.
func TestTicks_any(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{"UTC", "Asia/Kathmandu", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"} {
		z := zone(t, name)
		for range 300 {
			start := time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rng.Int64N(20 * 365 * 24 * int64(time.Hour))))
			window := span{start, start.Add(time.Minute << rng.IntN(22)).Add(time.Duration(rng.Int64N(int64(time.Minute))))}
			what := fmt.Sprintf("%s from %s to %s", name, window.Start, window.End)
			marks := ticks(window, z)
			if window.length() > 2*time.Hour && len(marks) == 0 || len(marks) > maxTicks+2 {
				t.Errorf("%s: %d marks", what, len(marks))
			}
			for i, m := range marks {
				if m.At.Before(window.Start) || m.At.After(window.End) || i > 0 && !m.At.After(marks[i-1].At) {
					t.Errorf("%s: mark %d at %s", what, i, m.At)
				}
			}
		}
	}
}
