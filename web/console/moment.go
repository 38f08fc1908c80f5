package console

import (
	"fmt"
	"time"
)

// moment is a time as an element shows it.
type moment struct {
	Machine string // for the attribute datetime
	Text    string // in the viewer's zone
	UTC     string // for the attribute title
}

// at returns a time as the viewer reads it. The year is shown unless it is the present one.
func (req *request) at(t time.Time) moment {
	local := t.In(req.zone)
	format := "2 Jan 2006, 15:04 MST"
	if local.Year() == req.now.In(req.zone).Year() {
		format = "2 Jan, 15:04 MST"
	}
	return moment{
		Machine: t.UTC().Format(time.RFC3339),
		Text:    local.Format(format),
		UTC:     t.UTC().Format("2006-01-02 15:04:05") + " UTC",
	}
}

// zoneName returns the name of the viewer's time zone, or its abbreviation if the name says nothing.
func (req *request) zoneName() string {
	if name := req.zone.String(); name != "" && name != "Local" {
		return name
	}
	return req.now.In(req.zone).Format("MST")
}

// atText returns the time of an activity's text, which is RFC 3339.
func (req *request) atText(text string) (moment, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return moment{}, false
	}
	return req.at(t), true
}

// words returns a duration in words: the two highest units.
func words(d time.Duration) string {
	minutes := int64(d / time.Minute)
	days, hours, minutes := minutes/(24*60), minutes/60%24, minutes%60
	switch {
	case days > 0:
		return join(days, "day", hours, "hour")
	case hours > 0:
		return join(hours, "hour", minutes, "minute")
	case minutes > 0:
		return count(minutes, "minute")
	}
	return "less than a minute"
}

func join(n int64, unit string, rest int64, part string) string {
	if rest == 0 {
		return count(n, unit)
	}
	return count(n, unit) + " " + count(rest, part)
}

// count returns a number with its noun.
func count[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
