package incident

import (
	"fmt"
	"testing"
	"time"
)

// A due reminder is delivered unless its incident is closed, or one of its conditions holds.
func TestReminder_endedBy(t *testing.T) {
	now := time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)
	by := func(until time.Duration) *Response {
		r := &Response{AcknowledgedBy: "ada", DateAcknowledged: &now, AcknowledgedStatus: StatusWarning}
		if until != 0 {
			end := now.Add(until)
			r.AcknowledgedUntil = &end
		}
		return r
	}
	responses := map[string]struct {
		response *Response
		holds    bool // it is acknowledged
	}{
		"no response":                  {nil, false},
		"an assignee":                  {&Response{Assignee: "ada"}, false},
		"acknowledged":                 {by(0), true},
		"acknowledged for a while yet": {by(time.Microsecond), true},
		"acknowledged until now":       {&Response{AcknowledgedBy: "ada", DateAcknowledged: &now, AcknowledgedUntil: &now}, false},
		"acknowledged in the past":     {by(-time.Hour), false},
	}
	statuses := []Status{StatusOpen, StatusWarning, StatusCritical, StatusClosed}
	ranks := map[Status]int{StatusOpen: 1, StatusWarning: 2, StatusCritical: 3}
	for name, c := range responses {
		for unless := UnlessClosed; unless <= UnlessAcknowledged|UnlessLowered; unless++ {
			for _, set := range statuses[:3] {
				for _, is := range statuses {
					r := Reminder{Unless: unless, Status: set}
					want := is == StatusClosed ||
						unless&UnlessAcknowledged != 0 && c.holds ||
						unless&UnlessLowered != 0 && ranks[is] < ranks[set]
					if got := r.endedBy(&Incident{Status: is, Response: c.response}, now); got != want {
						t.Errorf("set at %s unless %s, with %s and now %s: ended is %t, want %t", set, unless, name, is, got, want)
					}
				}
			}
		}
	}
}

func TestUnless_String(t *testing.T) {
	for u, want := range map[Unless]string{
		UnlessClosed: "Closed", UnlessAcknowledged: "Closed|Acknowledged", UnlessLowered: "Closed|Lowered",
		UnlessAcknowledged | UnlessLowered: "Closed|Acknowledged|Lowered", UnlessLowered | 12: "Closed|Lowered|Unless(12)", -4: "Closed|Unless(-4)",
	} {
		if got := fmt.Sprint(u); got != want {
			t.Errorf("%d is %s, want %s", int(u), got, want)
		}
	}
}
