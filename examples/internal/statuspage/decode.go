// Package statuspage reads the incident history of an Atlassian Statuspage, and adds it
// to an [incident.Manager]: [Read] parses the file, and [Import] writes it.
package statuspage

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// maxFileSize bounds the size of the file.
const maxFileSize = 64 << 20

// Read reads a history of at most 64 MiB. An error about the content begins with
// name:line:column.
func Read(name string, input io.Reader) (*History, error) {
	data, err := io.ReadAll(io.LimitReader(input, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	return decode(name, data)
}

// decode parses a history. It returns an error for invalid JSON and for an inconsistent
// history. The Manager validates texts and dates.
func decode(name string, data []byte) (*History, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxFileSize>>20)
	}
	s := &source{name: name, data: data}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, s.errorf(0, "the file is empty")
	}
	w, err := newWalker(s)
	if err != nil {
		return nil, err
	}
	h := &History{source: s}
	if err := h.read(w); err != nil {
		return nil, err
	}
	slices.SortFunc(h.incidents, func(a, b pastIncident) int {
		return cmp.Or(a.started.Compare(b.started), strings.Compare(a.id, b.id))
	})
	return h, nil
}

func (h *History) read(w *walker) error {
	var id, name string
	page := w.object(map[string]reader{"id": w.text(&id), "name": w.text(&name)})
	ids := make(map[string]bool)
	incidents := w.array(func(n int) error {
		p, err := readIncident(w, n)
		if err == nil && ids[p.id] {
			err = w.errorf(p.at, "an incident before has the same id")
		}
		ids[p.id] = true
		h.incidents = append(h.incidents, p)
		return within(p, err)
	})
	found := false
	err := w.object(map[string]reader{
		"page": func(field string) error {
			h.pageAt = w.next()
			return page(field)
		},
		"incidents": func(field string) error {
			found = w.data[w.next()] == '['
			return incidents(field)
		},
	})("the file")
	// The id of a page is stable, unlike its name.
	h.Page = incident.OrganizationID(cmp.Or(id, name))
	switch {
	case err != nil:
		return err
	case h.Page == "":
		return w.errorf(h.pageAt, "page.id is required")
	case !found:
		return w.errorf(0, "incidents is required")
	}
	return nil
}

func readIncident(w *walker, number int) (pastIncident, error) {
	p := pastIncident{at: w.next(), number: number}
	var status, impact string
	var created, resolved time.Time
	ids := make(map[string]bool)
	err := w.object(map[string]reader{
		"id":          w.text(&p.id),
		"name":        w.text(&p.title),
		"status":      w.text(&status),
		"impact":      w.text(&impact),
		"created_at":  w.date(&created),
		"started_at":  w.date(&p.started),
		"resolved_at": w.date(&resolved),
		"components": w.array(func(n int) error {
			c, err := readComponent(w, n)
			p.components = append(p.components, c)
			return err
		}),
		"incident_updates": w.array(func(n int) error {
			u, err := readUpdate(w, n)
			if err == nil && ids[u.id] {
				err = w.errorf(u.at, "an update before has the same id")
			}
			ids[u.id] = true
			p.updates = append(p.updates, u)
			return within(u, err)
		}),
	})("it")
	if err != nil {
		return p, err
	}
	if p.started.IsZero() {
		p.started = created // old pages have no started_at
	}
	sortUpdates(p.updates)
	return p, p.judge(w, status, impact, resolved)
}

// judge derives severity and end from the page's fields, and checks that they are
// complete.
func (p *pastIncident) judge(w *walker, status, impact string, resolved time.Time) error {
	over, knownStatus := isOver(status)
	severity, knownImpact := severityOf(impact)
	switch {
	case p.id == "":
		return w.errorf(p.at, "id is required")
	case p.started.IsZero():
		return w.errorf(p.at, "started_at is required")
	case status == "":
		return w.errorf(p.at, "status is required")
	case !knownStatus:
		return w.errorf(p.at, "status %.40q is unknown", status)
	case impact == "":
		return w.errorf(p.at, "impact is required")
	case !knownImpact:
		return w.errorf(p.at, "impact %.40q is unknown: want none, minor, major, critical or maintenance", impact)
	case over && resolved.IsZero():
		return w.errorf(p.at, "resolved_at is required where status is %s", status)
	case over:
		p.resolved = &resolved
	}
	p.severity = severity
	return nil
}

// sortUpdates sorts by time. A page lists updates latest first, and that order decides
// between equal times.
func sortUpdates(updates []pastUpdate) {
	slices.Reverse(updates)
	slices.SortStableFunc(updates, func(a, b pastUpdate) int { return a.date.Compare(b.date) })
}

// readComponent returns the name of a component: not all pages give IDs, and readers know
// the name.
func readComponent(w *walker, number int) (incident.ProjectID, error) {
	at := w.next()
	var id, name string
	err := w.object(map[string]reader{"id": w.text(&id), "name": w.text(&name)})(label("component", number, ""))
	if err == nil && cmp.Or(name, id) == "" {
		err = w.errorf(at, "component %d: name is required", number)
	}
	return incident.ProjectID(cmp.Or(name, id)), err
}

func readUpdate(w *walker, number int) (pastUpdate, error) {
	u := pastUpdate{at: w.next(), number: number}
	var created time.Time
	err := w.object(map[string]reader{
		"id":         w.text(&u.id),
		"body":       w.text(&u.body),
		"created_at": w.date(&created),
		"display_at": w.date(&u.date),
	})("it")
	if u.date.IsZero() {
		u.date = created
	}
	// Web forms end lines with CRLF.
	u.body = strings.ReplaceAll(u.body, "\r\n", "\n")
	switch {
	case err != nil:
		return u, err
	case u.id == "":
		return u, w.errorf(u.at, "id is required")
	case u.date.IsZero():
		return u, w.errorf(u.at, "display_at is required")
	}
	return u, nil
}
