package console

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// The values of the parameter "status".
var statusNames = map[string][]incident.Status{
	"open":     {incident.StatusOpen},
	"warning":  {incident.StatusWarning},
	"critical": {incident.StatusCritical},
	"closed":   {incident.StatusClosed},
	"active":   incident.ActiveStatuses(),
	"all":      {},
}

// filterFields are the fields of the form of a filter, except the statuses.
var filterFields = []string{"q", "project", "rule", "assignee", "label", "acknowledged", "from", "to"}

// filter is a filter in the query of a page.
type filter struct {
	incident.IncidentFilter
	values url.Values // the fields that are set, as they were typed
	// Problems has a text for each field that cannot be used.
	Problems map[string]string
}

// filterOf parses the query. Without a status the filter selects the statuses of the given name. Blanks
// around what a viewer has typed are ignored. A link to a value that has them says so with "exact".
func (req *request) filterOf(query url.Values, status string) *filter {
	f := &filter{values: url.Values{}, Problems: map[string]string{}}
	f.OrganizationID, f.Access = req.viewer.Organization, req.viewer.Access
	exact := query.Has("exact")
	if exact {
		f.values.Set("exact", "1")
	}
	for _, name := range filterFields {
		for _, v := range query[name] {
			if !exact {
				v = strings.TrimSpace(v)
			}
			if v != "" {
				f.values.Add(name, v)
			}
		}
	}
	if names := query["status"]; len(names) > 0 {
		f.values["status"] = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	f.setStatuses(status)
	f.Title, f.AlertRuleID = f.values.Get("q"), incident.AlertRuleID(f.values.Get("rule"))
	f.Assignee = incident.UserID(f.values.Get("assignee"))
	for _, p := range f.values["project"] {
		f.Projects = append(f.Projects, incident.ProjectID(p))
	}
	f.setLabels()
	switch f.values.Get("acknowledged") {
	case "":
	case "true":
		f.Acknowledged = new(true)
	case "false":
		f.Acknowledged = new(false)
	default:
		f.Problems["acknowledged"] = "Choose one of the list."
	}
	f.Start, f.End = f.bound("from", req.zone, false), f.bound("to", req.zone, true)
	return f
}

func (f *filter) setStatuses(absent string) {
	names := f.values["status"]
	if len(names) == 0 {
		names = []string{absent}
	}
	for _, name := range names {
		statuses, known := statusNames[name]
		if !known {
			f.Problems["status"] = "Choose one of the statuses."
		}
		if name == "all" {
			f.Statuses = nil
			return
		}
		f.Statuses = append(f.Statuses, statuses...)
	}
}

func (f *filter) setLabels() {
	for _, text := range f.values["label"] {
		label, value, found := cutLabel(text)
		if !found || label == "" || value == "" {
			f.Problems["label"] = "Write a label as name=value."
			return
		}
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		if had, twice := f.Labels[label]; twice && had != value {
			f.Problems["label"] = "A label has a single value."
		}
		f.Labels[label] = value
	}
}

// escapeLabel escapes the name of a label in labelText.
var escapeLabel = strings.NewReplacer(`=`, `\=`, `\`, `\\`)

// labelText returns a label as a filter has it, name=value. A "=" or "\" in the name has a "\" before it.
func labelText(name, value string) string { return escapeLabel.Replace(name) + "=" + value }

// cutLabel is the inverse of labelText.
func cutLabel(text string) (name, value string, found bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '=':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '=' || text[i+1] == '\\'):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// hasBlanks reports whether a filter needs "exact" for a value.
func hasBlanks(value string) bool { return strings.TrimSpace(value) != value }

// bound parses a date, or a date and a time, in the viewer's zone, or a time with a zone as in
// RFC 3339. A date is its beginning or, as the end of the window, its last microsecond.
func (f *filter) bound(name string, zone *time.Location, end bool) time.Time {
	text := f.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	if t, err := time.ParseInLocation("2006-01-02T15:04", text, zone); err == nil {
		return t
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t
	}
	t, err := time.ParseInLocation("2006-01-02", text, zone)
	if err != nil {
		f.Problems[name] = "Write a date as 2026-11-26."
		return time.Time{}
	}
	if end {
		t = t.AddDate(0, 0, 1).Add(-time.Microsecond)
	}
	return t
}

// refuse records an error of the Manager about a field of the filter, and reports whether it is
// about one.
func (f *filter) refuse(err error) bool {
	refused, ok := errors.AsType[*incident.FieldError](err)
	if !ok {
		return false
	}
	name, known := map[string]string{
		"title": "q", "projects": "project", "alertRule": "rule", "assignee": "assignee", "labels": "label", "start": "from",
		"end": "to", "cursor": "cursor",
	}[refused.Field]
	if !known {
		return false
	}
	switch name {
	case "cursor":
		f.Problems[name] = "This page of the list is no longer known. Begin with the first page."
	default:
		f.Problems[name] = "It " + refused.Problem + "."
	}
	return true
}

// narrow reports whether the filter has a condition besides the status.
func (f *filter) narrow() bool {
	return slices.ContainsFunc(filterFields, f.values.Has)
}

// link returns the query of the filter with other values of a field, "" for no query.
func (f *filter) link(name string, values ...string) string {
	v := maps.Clone(f.values)
	delete(v, name)
	if len(values) > 0 {
		v[name] = values
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// fieldProblem is the reason why a field was refused, with the ID of its element.
type fieldProblem struct{ ID, Text string }

// Problem returns the reason why a field was refused, nil for none.
func (f *filter) Problem(name string) *fieldProblem {
	if text := f.Problems[name]; text != "" {
		return &fieldProblem{ID: name + "-problem", Text: text}
	}
	return nil
}

// More reports whether the filter has a condition besides the statuses and the title.
func (f *filter) More() bool {
	return slices.ContainsFunc(filterFields, func(name string) bool { return name != "q" && f.values.Has(name) })
}

// Value returns the text of a field as it was typed.
func (f *filter) Value(name string) string { return f.values.Get(name) }

// Values returns the texts of a field as they were typed.
func (f *filter) Values(name string) []string { return f.values[name] }
