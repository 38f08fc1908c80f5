package timeline

import (
	"bufio"
	"cmp"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// Options configures [Markdown]. The zero value, and nil, are ready to use.
type Options struct {
	// User and Project return the names to write for an identifier of the host. If either
	// returns "", the identifier is written. A name may have any text.
	//
	// Default to the identifier.
	User    func(incident.UserID) string
	Project func(incident.ProjectID) string

	// Location is the time zone of the dates. Defaults to UTC.
	Location *time.Location
}

// Markdown writes the incident, its triggers, and its activities in the order given. The document
// has a heading with the key and the title, lists of the incident's fields and of its triggers, and
// a list with a sentence for each activity, with its comment as a block quote.
//
// Texts of users form no structure: no heading, item, link, HTML, code block or line of their own.
// Names and values are code spans, with spaces for line breaks. Titles and comments are escaped.
// Control characters and directional controls become U+FFFD. A platform may still give a meaning to
// plain words, such as a number of an issue.
//
// It returns the first error of w or of the activities. Part of the document may have been written.
func Markdown(w io.Writer, inc incident.Incident, triggers []incident.Trigger, activities iter.Seq2[incident.Activity, error], o *Options) error {
	d := &document{out: bufio.NewWriter(w), inc: &inc}
	if o != nil {
		d.Options = *o
	}
	d.Location = cmp.Or(d.Location, time.UTC)
	d.head()
	if len(triggers) > 0 {
		d.print("\n## Triggers\n\n")
		for i := range triggers {
			d.trigger(&triggers[i])
		}
	}
	d.print("\n## History\n\n")
	for a, err := range activities {
		if err != nil {
			return failed(inc, err)
		}
		d.item(d.date(a.DateAdded) + ": " + d.sentence(&a))
		if a.Comment != "" {
			d.quote(a.Comment)
		}
		if d.err != nil {
			break
		}
	}
	return failed(inc, d.out.Flush())
}

// document writes the Markdown of an incident.
type document struct {
	Options
	out *bufio.Writer
	err error // the first error of out
	inc *incident.Incident
}

// item writes an item of a list.
func (d *document) item(text string) {
	d.print("- ", text, "\n")
}

func (d *document) print(texts ...string) {
	for _, text := range texts {
		if d.err == nil {
			_, d.err = d.out.WriteString(text)
		}
	}
}

// quote writes a text of users in a block quote of the item before it.
func (d *document) quote(text string) {
	all := lines(text)
	for i, l := range all {
		switch {
		case l == "":
			d.print("  >\n")
		case i+1 < len(all) && all[i+1] != "":
			d.print("  > ", l, "\\\n") // a line break
		default:
			d.print("  > ", l, "\n")
		}
	}
}

// user returns the quoted name of a user.
func (d *document) user(id incident.UserID) string {
	if d.User != nil {
		if name := d.User(id); name != "" {
			return quoted(name)
		}
	}
	return quoted(string(id))
}

// project returns the quoted name of a project.
func (d *document) project(id incident.ProjectID) string {
	if d.Project != nil {
		if name := d.Project(id); name != "" {
			return quoted(name)
		}
	}
	return quoted(string(id))
}

func (d *document) date(t time.Time) string {
	return t.In(d.Location).Format("2006-01-02 15:04:05 MST")
}

// dateOf returns a date of an activity's Old or New.
func (d *document) dateOf(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return quoted(text)
	}
	return d.date(t)
}

func (d *document) head() {
	d.print("# ", quoted(d.inc.Key().String()), " ", escaped(d.inc.Title), "\n\n")
	d.item("Status: " + d.inc.Status.String())
	d.item("Started: " + d.date(d.inc.DateStarted))
	d.item("Detected: " + d.date(d.inc.DateDetected))
	if end := d.inc.DateClosed; end != nil {
		d.item("Ended: " + d.date(*end) + ", after " + d.inc.Duration(*end).String())
	}
	if len(d.inc.Projects) > 0 {
		names := make([]string, len(d.inc.Projects))
		for i, p := range d.inc.Projects {
			names[i] = d.project(p)
		}
		d.item("Projects: " + strings.Join(names, ", "))
	}
	if d.inc.AlertRuleID != "" {
		d.item("Alert rule: " + quoted(string(d.inc.AlertRuleID)))
	}
	if d.inc.QueryID != "" {
		d.item("Query: " + quoted(string(d.inc.QueryID)))
	}
	d.response(d.inc.Response)
	if of := d.inc.DuplicateOf; of != 0 {
		d.item("Duplicate of: " + d.key(strconv.FormatInt(of, 10)))
	}
	for _, name := range slices.Sorted(maps.Keys(d.inc.Labels)) {
		d.item("Label " + quoted(name) + ": " + quoted(d.inc.Labels[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(d.inc.Annotations)) {
		d.item("Annotation " + quoted(name) + ":")
		d.quote(d.inc.Annotations[name])
	}
}

func (d *document) response(r *incident.Response) {
	if r == nil {
		return
	}
	if r.Assignee != "" {
		d.item("Assignee: " + d.user(r.Assignee))
	}
	if r.DateAcknowledged == nil {
		return
	}
	text := "Acknowledged: " + d.date(*r.DateAcknowledged)
	if r.AcknowledgedBy != "" {
		text += " by " + d.user(r.AcknowledgedBy)
	}
	if r.AcknowledgedUntil != nil {
		text += ", until " + d.date(*r.AcknowledgedUntil)
	}
	d.item(text)
}

func (d *document) trigger(t *incident.Trigger) {
	d.item(quoted(string(t.TriggerID)) + ": " + t.Status.String() + ", severity " + t.Severity.String() +
		", first fired " + d.date(t.DateAdded) + ", last changed " + d.date(t.DateModified))
}

// key returns the quoted key of another incident of the organization.
func (d *document) key(identifier string) string {
	return quoted(string(d.inc.OrganizationID) + "#" + identifier)
}
