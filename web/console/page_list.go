package console

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/incidentkit/incident"
)

// pageSize is the number of rows of a list.
const pageSize = 50

// maxCounted is the highest number to which a status is counted, as in "100+", so that the counts of a
// large host take no longer than its list.
const maxCounted = 100

// The limits of a row. The page of an incident has everything.
const (
	maxRowTitle    = 200 // characters
	maxRowProjects = 3
)

// listView is the data of list.html.
type listView struct {
	Filter       *filter
	Tabs         []tab
	Rows         []row
	Newer, Older string // URLs of the adjacent pages; empty if there is none
	Empty        string // "ever", "quiet" or "match" if there are no rows
	All          string // the URL of the list without a filter
	Query        string // of the page, for the forms
	MaxBulk      int
}

// tab is a link to the incidents of a status, with their number.
type tab struct {
	Name, Label, Href string
	Count             string
	Current           bool
}

// row is an incident in a list.
type row struct {
	ID           int64
	Href         string
	Title        string
	Status       statusView
	Projects     []*name
	MoreProjects int
	Started      moment
	Duration     string
	Active       bool
	Assignee     *name
	Acknowledged bool
	By           *name   // nil for a program
	Until        *moment // nil for no end
}

// listPage shows a page of incidents, the newest started first.
func (c *console) listPage(req *request) error {
	query := req.r.URL.Query()
	f := req.filterOf(query, "active")
	view := &listView{Filter: f, All: req.root + "?status=all", Query: f.link(""), MaxBulk: incident.MaxBulk}
	var found incident.IncidentPage
	var counts incident.Counts
	if len(f.Problems) == 0 {
		err := together(func() (err error) {
			all := f.IncidentFilter
			all.Statuses, all.Limit = nil, maxCounted
			counts, err = c.manager.Count(req, all)
			return err
		}, func() (err error) {
			rows := f.IncidentFilter
			rows.Limit, rows.Cursor = pageSize, query.Get("cursor")
			found, err = c.manager.List(req, rows)
			return err
		})
		if err != nil && !f.refuse(err) {
			return err
		}
	}
	p := page{name: "list", title: "Incidents", heading: "Incidents", main: view}
	view.Tabs = tabsOf(req, f, counts)
	if len(f.Problems) > 0 {
		p.status = 400
		return c.render(req, p)
	}
	for _, inc := range found.Incidents {
		view.Rows = append(view.Rows, req.rowOf(&inc))
	}
	if found.Previous != "" {
		view.Newer = req.root + f.link("cursor", found.Previous)
	}
	if found.Next != "" {
		view.Older = req.root + f.link("cursor", found.Next)
	}
	var err error
	if len(view.Rows) == 0 {
		if view.Empty, err = c.emptiness(req, f, counts); err != nil {
			return err
		}
	}
	return c.render(req, p)
}

// emptiness returns the reason why a list is empty: there is no incident at all, none is active,
// or none matches the filter.
func (c *console) emptiness(req *request, f *filter, counts incident.Counts) (string, error) {
	if total(counts) == 0 && f.narrow() {
		all, err := c.manager.Count(req, incident.IncidentFilter{OrganizationID: f.OrganizationID, Access: f.Access, Limit: 1})
		if err != nil {
			return "", err
		}
		counts = all
	}
	switch {
	case total(counts) == 0:
		return "ever", nil
	case !f.narrow() && len(f.Statuses) > 0 && total(counts) == counts.ByStatus[incident.StatusClosed]:
		return "quiet", nil
	}
	return "match", nil
}

func total(c incident.Counts) (n int) {
	for _, of := range c.ByStatus {
		n += of
	}
	return n
}

// tabsOf returns the links to the statuses.
func tabsOf(req *request, f *filter, counts incident.Counts) []tab {
	current := f.values["status"]
	if len(current) == 0 {
		current = []string{"active"}
	}
	tabs := []tab{
		{Name: "active", Label: "Active"},
		{Name: "critical", Label: incident.StatusCritical.String()},
		{Name: "warning", Label: incident.StatusWarning.String()},
		{Name: "open", Label: incident.StatusOpen.String()},
		{Name: "closed", Label: incident.StatusClosed.String()},
		{Name: "all", Label: "All"},
	}
	for i := range tabs {
		t := &tabs[i]
		t.Href = req.root + f.link("status", t.Name)
		t.Current = len(current) == 1 && current[0] == t.Name
		statuses := statusNames[t.Name]
		if t.Name == "all" {
			statuses = append(incident.ActiveStatuses(), incident.StatusClosed)
		}
		n, more := 0, false
		for _, s := range statuses {
			n += counts.ByStatus[s]
			more = more || slices.Contains(counts.Capped, s)
		}
		if t.Count = strconv.Itoa(n); more {
			t.Count += "+"
		}
	}
	return tabs
}

func (req *request) rowOf(inc *incident.Incident) row {
	r := row{
		ID: inc.Identifier, Href: req.incidentURL(inc.Identifier), Title: cut(inc.Title, maxRowTitle), Status: statusOf(inc.Status),
		Started: req.at(inc.DateStarted), Duration: words(inc.Duration(req.now)), Active: inc.Status.Active(),
	}
	for i, p := range inc.Projects {
		if i == maxRowProjects {
			r.MoreProjects = len(inc.Projects) - i
			break
		}
		r.Projects = append(r.Projects, req.names.project(p))
	}
	if inc.Response != nil {
		r.Assignee = req.names.user(inc.Response.Assignee)
		if inc.Acknowledged(req.now) {
			r.Acknowledged, r.By = true, req.names.user(inc.Response.AcknowledgedBy)
			if until := inc.Response.AcknowledgedUntil; until != nil {
				at := req.at(*until)
				r.Until = &at
			}
		}
	}
	return r
}

// cut returns a text of at most the number of characters, and ends it with "…" if it was longer.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	n := 0
	for i := range text {
		if n++; n == limit {
			return text[:i] + "…"
		}
	}
	return text
}

// statusView is a status as the pages show it.
type statusView struct {
	Class string // "open", "warning", "critical" or "closed"
	Label string
}

func statusOf(s incident.Status) statusView {
	class := "closed"
	switch s {
	case incident.StatusOpen:
		class = "open"
	case incident.StatusWarning:
		class = "warning"
	case incident.StatusCritical:
		class = "critical"
	}
	return statusView{Class: class, Label: s.String()}
}
