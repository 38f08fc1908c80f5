package statuspage

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// rawIncident has the fields from which an incident is derived.
type rawIncident struct {
	status, impact              string
	created, started, scheduled time.Time
	resolved                    time.Time
}

// readIncident returns an incident, and the faults of the updates that it leaves out. The
// fields of a faulty incident are those before the fault.
func readIncident(w *walker, kind string, number int) (p pastIncident, faults []error, err error) {
	p = pastIncident{at: w.next(), kind: kind, number: number}
	var raw rawIncident
	ids := make(map[string]bool)
	components := make(map[incident.ProjectID]bool)
	err = w.object(map[string]reader{
		"id":            w.text(&p.id),
		"page_id":       w.text(&p.page),
		"name":          w.text(&p.title),
		"status":        w.text(&raw.status),
		"impact":        w.text(&raw.impact),
		"created_at":    w.date(&raw.created),
		"started_at":    w.date(&raw.started),
		"scheduled_for": w.date(&raw.scheduled),
		"resolved_at":   w.date(&raw.resolved),
		"components": w.array(func(n int) error {
			c, err := readComponent(w, n)
			if !components[c] {
				p.components = append(p.components, c)
			}
			components[c] = true
			return err
		}),
		"incident_updates": w.array(func(n int) error {
			part, err := w.part()
			if err != nil {
				return err
			}
			u, err := readUpdate(part, n)
			if err == nil && ids[u.id] {
				err = w.errorf(u.at, "an update before has the same id")
			}
			if err != nil {
				faults = append(faults, within(u, err))
				return nil
			}
			ids[u.id] = true
			p.updates = append(p.updates, u)
			return nil
		}),
	})("it")
	if err != nil {
		return p, faults, err
	}
	p.title = lineFeeds(p.title)
	sortUpdates(p.updates)
	return p, faults, p.judge(w, raw)
}

// judge derives severity, start and end from the page's fields, and checks that they are
// complete.
func (p *pastIncident) judge(w *walker, raw rawIncident) error {
	over, knownStatus := isOver(raw.status)
	severity, knownImpact := severityOf(raw.impact)
	p.severity = severity
	p.planned = raw.status == "scheduled"
	end := p.end(raw.resolved, over)
	p.started = p.start(raw, end)
	switch {
	case p.id == "":
		return w.errorf(p.at, "id is required")
	case p.started.IsZero():
		return w.errorf(p.at, "started_at is required")
	case raw.status == "":
		return w.errorf(p.at, "status is required")
	case !knownStatus:
		return w.errorf(p.at, "status %.40q is unknown", raw.status)
	case raw.impact == "":
		return w.errorf(p.at, "impact is required")
	case !knownImpact:
		return w.errorf(p.at, "impact %.40q is unknown: want none, minor, major, critical or maintenance", raw.impact)
	case !over:
		return nil
	case end.IsZero():
		return w.errorf(p.at, "resolved_at is required where status is %s and no update has a date", raw.status)
	case end.Before(p.started):
		return w.errorf(p.at, "resolved_at must not be before the start of the incident, %s", p.started.UTC().Format(time.RFC3339Nano))
	}
	p.resolved = &end
	return nil
}

// end returns the end of an incident, or the zero time if there is none. It marks the
// updates that resolved or reopened the incident before the end.
//
// The end is resolved_at. A page may omit resolved_at, or keep the date of an earlier end.
// Then the end is the date of the update that resolved the incident, or of the last update.
func (p *pastIncident) end(resolved time.Time, over bool) time.Time {
	var reopened time.Time
	last := -1 // the update that resolved the incident last
	ended := false
	for n := range p.updates {
		u := &p.updates[n]
		now, known := isOver(u.status)
		switch {
		case !known || now == ended:
			continue
		case now:
			u.effect, last = resolves, n
		default:
			u.effect, reopened = reopens, u.date
		}
		ended = now
	}
	if ended {
		p.updates[last].effect = noEffect // the status of the incident decides
	}
	if !over {
		return time.Time{}
	}
	final := len(p.updates) - 1
	if ended {
		p.closing, final = p.updates[last].id, last
	}
	if final >= 0 && (resolved.IsZero() || resolved.Before(reopened)) {
		return p.updates[final].date
	}
	return resolved
}

// start returns the start of an incident, or the zero time.
//
// An incident starts at the earliest of started_at, created_at and the date of its first
// update: if a page adds an incident afterwards, only some of these dates are in the past.
// A maintenance starts at scheduled_for, or earlier if it began or ended earlier. Updates
// that announce a maintenance do not begin it.
func (p *pastIncident) start(raw rawIncident, end time.Time) time.Time {
	first := slices.IndexFunc(p.updates, func(u pastUpdate) bool { return u.status != "scheduled" })
	var begun time.Time
	if first >= 0 {
		begun = p.updates[first].date
	}
	if !raw.scheduled.IsZero() {
		return earliest(raw.scheduled, begun, end)
	}
	start := earliest(raw.started, raw.created, begun)
	if start.IsZero() && len(p.updates) > 0 {
		return p.updates[0].date
	}
	return start
}

// earliest returns the earliest of the times that are not zero.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// sortUpdates sorts by time. A page lists updates latest first, and that order decides
// between equal times.
func sortUpdates(updates []pastUpdate) {
	slices.Reverse(updates)
	slices.SortStableFunc(updates, func(a, b pastUpdate) int { return a.date.Compare(b.date) })
}

// readComponent returns the name of a component: not all pages give IDs, and readers know
// the name. In a group, the group's ID follows, since components of two groups may have the
// same name. The result depends on the component alone, so every file of a page gives the
// same result.
func readComponent(w *walker, number int) (incident.ProjectID, error) {
	at := w.next()
	var id, name, group string
	err := w.object(map[string]reader{
		"id":       w.text(&id),
		"name":     w.text(&name),
		"group_id": w.text(&group),
	})(label("component", number, ""))
	name = cmp.Or(name, id)
	if err == nil && name == "" {
		err = w.errorf(at, "component %d: name is required", number)
	}
	if group != "" {
		name += " (" + group + ")"
	}
	return incident.ProjectID(name), err
}

func readUpdate(w *walker, number int) (pastUpdate, error) {
	u := pastUpdate{at: w.next(), number: number}
	var created time.Time
	err := w.object(map[string]reader{
		"id":         w.text(&u.id),
		"status":     w.text(&u.status),
		"body":       w.text(&u.body),
		"created_at": w.date(&created),
		"display_at": w.date(&u.date),
	})("it")
	if u.date.IsZero() {
		u.date = created
	}
	u.body = lineFeeds(u.body)
	switch {
	case err != nil:
		return u, err
	case u.id == "":
		return u, w.errorf(u.at, "id is required")
	case u.date.IsZero():
		return u, w.errorf(u.at, "display_at is required")
	case u.date.Before(time.Unix(0, 0)):
		// It must not become the start of the incident.
		return u, w.errorf(u.at, "display_at must be in the years 1970 to 9999")
	}
	return u, nil
}

// lineFeeds returns a text with its line ends as LF. Web forms end lines with CRLF, and
// some programs with CR.
func lineFeeds(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}
