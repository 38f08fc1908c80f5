package console

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/incidentkit/incident"
)

const (
	// maxBars is the most bars of the lanes. An incident has a bar in each of its lanes.
	maxBars = 200

	// maxMore is the highest number to which each status of a window is counted. It is above
	// maxBars, and low enough that the count takes no longer than the list.
	maxMore = 300

	// rowHeight is the height of a row of bars, in pixels.
	rowHeight = 28

	// leastBar is the least length of a bar, as a part of the window.
	leastBar = 1. / 128

	// maxLaneName is the most characters of an alert rule's name.
	maxLaneName = 120
)

// presets are the windows that end now.
var presets = []struct {
	Name, Text string
	length     time.Duration
}{
	{"24h", "24 hours", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
}

// lanesView is the data of lanes.html.
type lanesView struct {
	Filter       *filter
	By           string // "project" or "rule"
	Ways         []viewLink
	Presets      []viewLink
	Older, Newer string   // URLs; Newer is empty if the window ends now
	From, To     moment   // the window
	FromField    string   // the same, for the form
	ToField      string   //
	Hidden       []hidden // the other fields of the form
	Ticks        []mark
	Lanes        []*lane
	Incidents    []laneRow
	More         string // the number of incidents that are not shown, or "Some"; empty for none
	List         string // the URL of the list with the same filter
}

// viewLink is a link to another view.
type viewLink struct {
	Text, Href string
	Current    bool
}

// hidden is a field that a form keeps.
type hidden struct{ Name, Value string }

// mark is a tick as an element shows it.
type mark struct {
	X    string // in percent
	Text string
	End  bool // the text stands to the left of the mark
}

// lane has the incidents of a project or rule.
type lane struct {
	Name   fmt.Stringer // nil for incidents of none
	Href   string       // the list of the lane's incidents
	Height int
	Bars   []laneBar
	spans  []span
}

// laneBar is an incident in a lane.
type laneBar struct {
	Href, Label, Text, Class string
	X, Width                 string // in percent
	Y, TextY                 int
}

// laneRow is an incident in the table.
type laneRow struct {
	ID       int64
	Href     string
	Title    string
	Status   statusView
	Lanes    []fmt.Stringer
	Started  moment
	Ended    *moment // nil if it is active
	Duration string
}

// text is a text that a template shows as a name.
type text string

func (t text) String() string { return string(t) }

// lanesPage shows incidents side by side over time.
func (c *console) lanesPage(req *request) error {
	query := req.r.URL.Query()
	f := req.filterOf(query, "all")
	view := &lanesView{Filter: f, By: "project"}
	if query.Get("by") == "rule" {
		view.By = "rule"
	}
	preset, window := windowOf(req, f, query.Get("window"))
	var found []incident.Incident
	if len(f.Problems) == 0 {
		var err error
		if found, err = c.windowIncidents(req, f.IncidentFilter); err != nil && !f.refuse(err) {
			return err
		}
	}
	view.navigate(req, preset, window)
	p := page{name: "lanes", title: "Lanes", heading: "Lanes", main: view}
	if len(f.Problems) > 0 {
		p.status = 400
		return c.render(req, p)
	}
	drawn := view.draw(req, found, window)
	if drawn < len(found) {
		if err := c.countMore(req, view, len(found), drawn); err != nil {
			return err
		}
	}
	return c.render(req, p)
}

// countMore sets the number of incidents of the window that are not drawn. They are counted if the
// page has not read them all. For a viewer with restricted projects they are not: the store would
// read the lists of the projects from their beginning.
func (c *console) countMore(req *request, view *lanesView, found, drawn int) error {
	suffix := ""
	switch {
	case found > maxBars && req.viewer.Access != nil:
		view.More = "Some"
		return nil
	case found > maxBars:
		f := view.Filter.IncidentFilter
		f.Limit = maxMore
		counts, err := c.manager.Count(req, f)
		if err != nil {
			return err
		}
		if found = total(counts); len(counts.Capped) > 0 {
			suffix = "+"
		}
	}
	view.More = strconv.Itoa(max(found-drawn, 1)) + suffix
	return nil
}

// windowOf completes the bounds of the filter, and returns the preset of the window, if any. A window
// that ends now ends with the minute, so that the page is the same for a minute.
func windowOf(req *request, f *filter, name string) (preset string, w span) {
	now := req.now.Truncate(time.Minute).Add(time.Minute)
	length := presets[1].length
	if f.Start.IsZero() && f.End.IsZero() {
		preset = presets[1].Name
		for _, p := range presets {
			if p.Name == name {
				preset, length = name, p.length
			}
		}
	}
	if f.End.IsZero() {
		f.End = now
	}
	if f.Start.IsZero() {
		f.Start = f.End.Add(-length)
	}
	if len(f.Problems) == 0 && f.End.Sub(f.Start) < time.Minute {
		f.Problems["to"] = "Choose a time after the first."
	}
	return preset, span{f.Start, f.End}
}

// windowIncidents returns the incidents of a window, the newest started first. There are more than
// maxBars if not all are returned.
func (c *console) windowIncidents(req *request, f incident.IncidentFilter) ([]incident.Incident, error) {
	var all []incident.Incident
	f.Limit = maxBars/3 + 1 // three pages have one more than all bars
	for inc, err := range incident.All(req, c.manager, f) {
		if err != nil {
			return nil, err
		}
		if all = append(all, inc); len(all) > maxBars {
			break
		}
	}
	return all, nil
}

// link returns the URL of the page with other parameters. An empty value omits the parameter.
func (v *lanesView) link(req *request, page string, set ...string) string {
	values := maps.Clone(v.Filter.values)
	if page == "lanes" && v.By == "rule" {
		values.Set("by", v.By)
	}
	for i := 0; i < len(set); i += 2 {
		if values.Del(set[i]); set[i+1] != "" {
			values.Set(set[i], set[i+1])
		}
	}
	if len(values) == 0 {
		return req.root + page
	}
	return req.root + page + "?" + values.Encode()
}

// navigate sets the links to other windows.
func (v *lanesView) navigate(req *request, preset string, window span) {
	now := []string{"from", "", "to", "", "window"}
	for _, p := range presets {
		v.Presets = append(v.Presets, viewLink{p.Text, v.link(req, "lanes", append(now, p.Name)...), p.Name == preset})
	}
	v.Ways = []viewLink{
		{"By project", v.link(req, "lanes", "window", preset, "by", ""), v.By == "project"},
		{"By rule", v.link(req, "lanes", "window", preset, "by", "rule"), v.By == "rule"},
	}
	at := func(from, to time.Time) []string {
		return []string{"from", from.UTC().Format(time.RFC3339), "to", to.UTC().Format(time.RFC3339)}
	}
	length := window.length()
	v.Older = v.link(req, "lanes", at(window.Start.Add(-length), window.Start)...)
	if window.End.Before(req.now) {
		v.Newer = v.link(req, "lanes", at(window.End, window.End.Add(length))...)
	}
	v.From, v.To = req.at(window.Start), req.at(window.End)
	v.FromField, v.ToField = window.Start.In(req.zone).Format("2006-01-02T15:04"), window.End.In(req.zone).Format("2006-01-02T15:04")
	fields := url.Values(maps.Clone(v.Filter.values))
	fields.Del("from")
	fields.Del("to")
	fields.Set("by", v.By)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			v.Hidden = append(v.Hidden, hidden{name, value})
		}
	}
	v.List = v.link(req, "", append(listStatus(v.Filter), at(window.Start, window.End)...)...)
}

// listStatus returns the parameter by which the list shows what the lanes show.
func listStatus(f *filter) []string {
	if f.values.Has("status") {
		return nil
	}
	return []string{"status", "all"}
}

// draw sets the lanes and the table. It returns the number of incidents that have bars.
func (v *lanesView) draw(req *request, found []incident.Incident, window span) (drawn int) {
	for _, t := range ticks(window, req.zone) {
		x := window.percent(t.At)
		v.Ticks = append(v.Ticks, mark{X: percentage(x), Text: t.Text, End: x > 90})
	}
	lanes := map[string]*lane{}
	bars := 0
	for i := range found {
		inc := &found[i]
		keys := v.laneKeys(req, inc)
		if bars += len(keys); bars > maxBars {
			break
		}
		drawn++
		row := v.rowOf(req, inc)
		at := span{inc.DateStarted, inc.CurrentEnd(req.now)}
		if inc.Status.Active() && window.End.Sub(req.now) <= time.Minute {
			at.End = window.End // now, to the minute
		}
		at = at.within(window).widened(time.Duration(float64(window.length())*leastBar), window.End)
		for _, key := range keys {
			l := lanes[key]
			if l == nil {
				l = v.laneOf(req, key)
				lanes[key] = l
			}
			if l.Name != nil {
				row.Lanes = append(row.Lanes, l.Name)
			}
			l.Bars = append(l.Bars, barOf(req, inc, at, window))
			l.spans = append(l.spans, at)
		}
		v.Incidents = append(v.Incidents, row)
	}
	for _, key := range slices.Sorted(maps.Keys(lanes)) {
		if key != "" {
			v.Lanes = append(v.Lanes, lanes[key])
		}
	}
	if rest := lanes[""]; rest != nil {
		v.Lanes = append(v.Lanes, rest)
	}
	for _, l := range v.Lanes {
		l.arrange()
	}
	return drawn
}

// laneKeys returns the lanes of an incident, "" for incidents of none: its rule, or its projects
// that the viewer and the filter select.
func (v *lanesView) laneKeys(req *request, inc *incident.Incident) (keys []string) {
	if v.By == "rule" {
		return []string{string(inc.AlertRuleID)}
	}
	for _, p := range inc.Projects {
		wanted := len(v.Filter.Projects) == 0 || slices.Contains(v.Filter.Projects, p)
		if wanted && req.viewer.sees([]incident.ProjectID{p}) {
			keys = append(keys, string(p))
		}
	}
	if len(keys) == 0 {
		return []string{""}
	}
	return keys
}

// laneOf returns an empty lane.
func (v *lanesView) laneOf(req *request, key string) *lane {
	l := &lane{}
	switch {
	case key == "":
		return l
	case v.By == "rule":
		l.Name = text(cut(key, maxLaneName))
	default:
		l.Name = req.names.project(incident.ProjectID(key))
	}
	only := append(listStatus(v.Filter), v.By, key)
	if hasBlanks(key) {
		only = append(only, "exact", "1")
	}
	l.Href = v.link(req, "", only...)
	return l
}

// arrange stacks the bars.
func (l *lane) arrange() {
	rows, n := stack(l.spans)
	l.Height = n * rowHeight
	for i, row := range rows {
		l.Bars[i].Y, l.Bars[i].TextY = row*rowHeight+2, row*rowHeight+19
	}
}

// barOf returns the bar of an incident, without its row.
func barOf(req *request, inc *incident.Incident, at, window span) laneBar {
	x, end := window.percent(at.Start), window.percent(at.End)
	until := "now"
	if inc.DateClosed != nil {
		until = req.at(*inc.DateClosed).Text
	}
	b := laneBar{
		Href: req.incidentURL(inc.Identifier), X: percentage(x), Width: percentage(end - x), Class: statusOf(inc.Status).Class,
		Label: fmt.Sprintf("#%d %s, %s, %s – %s", inc.Identifier, plain(cut(inc.Title, maxRowTitle)), inc.Status, req.at(inc.DateStarted).Text, until),
	}
	if end-x > 12 {
		b.Text = fmt.Sprintf("#%d", inc.Identifier)
	}
	return b
}

func (v *lanesView) rowOf(req *request, inc *incident.Incident) laneRow {
	r := laneRow{
		ID: inc.Identifier, Href: req.incidentURL(inc.Identifier), Title: cut(inc.Title, maxRowTitle), Status: statusOf(inc.Status),
		Started: req.at(inc.DateStarted), Duration: words(inc.Duration(req.now)),
	}
	if inc.DateClosed != nil {
		at := req.at(*inc.DateClosed)
		r.Ended = &at
	}
	return r
}

func percentage(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) + "%" }
