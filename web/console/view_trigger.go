package console

import (
	"strconv"
	"time"

	"github.com/incidentkit/incident"
)

// triggerView is a trigger with its bar: the part of the incident's time from its first firing
// until it was resolved.
type triggerView struct {
	ID       incident.TriggerID
	Active   bool
	Severity statusView
	From     moment
	To       *moment // nil while it is active
	X, Width string  // of the bar, of 100
}

// addTriggers adds the triggers: the active first, then the latest changed.
func (v *incidentView) addTriggers(req *request, d *incident.Details) {
	end := d.CurrentEnd(req.now)
	for _, active := range []bool{true, false} {
		for _, t := range d.Triggers {
			if (t.Status == incident.TriggerStatusActive) != active {
				continue
			}
			if len(v.Triggers) == maxTriggers {
				v.MoreTriggers++
				continue
			}
			until := end
			view := triggerView{ID: t.TriggerID, Active: active, Severity: statusOf(t.Severity), From: req.at(t.DateAdded)}
			if !active {
				until, view.To = t.DateModified, req.atOptional(&t.DateModified)
			}
			view.X, view.Width = bar(d.DateStarted, end, t.DateAdded, until)
			v.Triggers = append(v.Triggers, view)
		}
	}
}

// minBar is the least width of a bar, so that a short time is visible.
const minBar = 1.0

// bar returns the place and the width of a part of a time, of 100.
func bar(start, end, from, to time.Time) (x, width string) {
	whole := end.Sub(start).Seconds()
	at := func(t time.Time) float64 {
		if whole <= 0 {
			return 0
		}
		return min(max(t.Sub(start).Seconds()/whole*100, 0), 100)
	}
	left := min(at(from), 100-minBar)
	right := max(at(to), left+minBar)
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
	return text(left), text(right - left)
}
