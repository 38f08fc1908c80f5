package incident_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// hostileValues are texts that neither a remark nor a label can be.
var hostileValues = map[string]string{
	"invalid UTF-8":   "a\xff",
	"cut UTF-8":       "\xe2\x82",
	"surrogate":       "\xed\xa0\x80",
	"NUL":             "a\x00b",
	"escape":          "\x1b[31m",
	"carriage return": "a\r\n",
	"delete":          "\x7f",
	"C1 control":      "a\u009b31m",
}

func acknowledge(change func(*incident.Acknowledgement)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		a := incident.Acknowledgement{UserID: "ada"}
		change(&a)
		return only(m.Acknowledge(ctx, key, a))
	}
}

func assign(change func(*incident.Assignment)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		a := incident.Assignment{UserID: "ada", Assignee: "grace"}
		change(&a)
		return only(m.Assign(ctx, key, a))
	}
}

func edit(change func(*incident.Edit)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		e := incident.Edit{UserID: "ada", Title: "Other"}
		change(&e)
		return only(m.Edit(ctx, key, e))
	}
}

func duplicate(change func(*incident.Duplicate)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		d := incident.Duplicate{UserID: "ada", Of: 2}
		change(&d)
		return only(m.MarkDuplicate(ctx, key, d))
	}
}

func count(change func(*incident.IncidentFilter)) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		f := incident.IncidentFilter{OrganizationID: "acme"}
		change(&f)
		return only(m.Count(ctx, f))
	}
}

// labelInputs returns each call that takes labels or annotations, with a bad map.
func labelInputs(name string, labels map[string]string) []badInput {
	return []badInput{
		{"labels: " + name, "labels", create(func(n *incident.NewIncident) { n.Labels = labels })},
		{"annotations: " + name, "annotations", create(func(n *incident.NewIncident) { n.Annotations = labels })},
		{"edited labels: " + name, "labels", edit(func(e *incident.Edit) { e.Labels = labels })},
		{"edited annotations: " + name, "annotations", edit(func(e *incident.Edit) { e.Annotations = labels })},
		{"listed labels: " + name, "labels", list(func(f *incident.IncidentFilter) { f.Labels = labels })},
		{"counted labels: " + name, "labels", count(func(f *incident.IncidentFilter) { f.Labels = labels })},
	}
}

// labelsOf returns labels of n names with total bytes.
func labelsOf(n, total int) map[string]string {
	labels := map[string]string{}
	for i := range n {
		size := total / (n - i)
		labels[fmt.Sprintf("%03d", i)] = strings.Repeat("x", size-3)
		total -= size
	}
	return labels
}

func operationInputs() []badInput {
	var all []badInput
	add := func(name, field string, call func(context.Context, incident.Manager) error) {
		all = append(all, badInput{name, field, call})
	}
	for kind, id := range badIDs {
		all = append(all, labelInputs("name "+kind, map[string]string{"env": "prod", id: "x"})...)
		if id == "" {
			continue // a program
		}
		user := incident.UserID(id)
		add("acknowledging "+kind, "userId", acknowledge(func(a *incident.Acknowledgement) { a.UserID = user }))
		add("assigning "+kind, "userId", assign(func(a *incident.Assignment) { a.UserID = user }))
		add("assignee "+kind, "assignee", assign(func(a *incident.Assignment) { a.Assignee = user }))
		add("editing "+kind, "userId", edit(func(e *incident.Edit) { e.UserID = user }))
		add("marking "+kind, "userId", duplicate(func(d *incident.Duplicate) { d.UserID = user }))
		add("listed assignee "+kind, "assignee", list(func(f *incident.IncidentFilter) { f.Assignee = user }))
		add("counted assignee "+kind, "assignee", count(func(f *incident.IncidentFilter) { f.Assignee = user }))
	}
	hostile := map[string]string{"too long": strings.Repeat("x", incident.MaxCommentSize+1)}
	for kind, text := range hostileValues {
		hostile[kind] = text
		all = append(all, labelInputs("value "+kind, map[string]string{"env": text})...)
		add("edited title "+kind, "title", edit(func(e *incident.Edit) { e.Title = text }))
	}
	for kind, text := range hostile {
		add("acknowledged with "+kind, "comment", acknowledge(func(a *incident.Acknowledgement) { a.Comment = text }))
		add("assigned with "+kind, "comment", assign(func(a *incident.Assignment) { a.Comment = text }))
		add("edited with "+kind, "comment", edit(func(e *incident.Edit) { e.Comment = text }))
		add("marked with "+kind, "comment", duplicate(func(d *incident.Duplicate) { d.Comment = text }))
	}
	for _, n := range []int64{-1, math.MinInt64} {
		add(fmt.Sprint("acknowledging version ", n), "version", acknowledge(func(a *incident.Acknowledgement) { a.ExpectVersion = n }))
		add(fmt.Sprint("assigning version ", n), "version", assign(func(a *incident.Assignment) { a.ExpectVersion = n }))
		add(fmt.Sprint("editing version ", n), "version", edit(func(e *incident.Edit) { e.ExpectVersion = n }))
		add(fmt.Sprint("marking version ", n), "version", duplicate(func(d *incident.Duplicate) { d.ExpectVersion = n }))
	}
	for _, n := range []int64{0, -1, math.MinInt64, 1} { // acme#1 itself
		add(fmt.Sprint("duplicate of ", n), "duplicateOf", duplicate(func(d *incident.Duplicate) { d.Of = n }))
	}
	return append(all, operationDates()...)
}

func operationDates() []badInput {
	var all []badInput
	for kind, date := range map[string]time.Time{
		"in 1969":       time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"in year 10000": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"in year -1":    time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"1<<62 seconds": time.Unix(1<<62, 0),
		"max seconds":   time.Unix(math.MaxInt64, math.MaxInt64),
	} {
		all = append(all,
			badInput{"until " + kind, "until", acknowledge(func(a *incident.Acknowledgement) { a.Until = date })},
			badInput{"edited start " + kind, "dateStarted", edit(func(e *incident.Edit) { e.DateStarted = date })},
			badInput{"recorded " + kind, "dateCreated", create(func(n *incident.NewIncident) { n.DateAdded = date })})
	}
	for kind, date := range map[string]time.Time{"now": now, "in the past": now.Add(-time.Hour), "within the microsecond": now.Add(999)} {
		all = append(all, badInput{"until " + kind, "until", acknowledge(func(a *incident.Acknowledgement) { a.Until = date })})
	}
	labels := map[string]string{"a": "b"}
	return append(all,
		badInput{"withdrawn until", "until", acknowledge(func(a *incident.Acknowledgement) { a.Withdraw, a.Until = true, now.Add(time.Hour) })},
		badInput{"edited start in the far future", "dateStarted", edit(func(e *incident.Edit) { e.DateStarted = now.Add(incident.MaxClockLead + time.Microsecond) })},
		badInput{"recorded in the future", "dateCreated", create(func(n *incident.NewIncident) { n.DateAdded = now.Add(time.Microsecond) })},
		badInput{"edit of nothing", "edit", edit(func(e *incident.Edit) { e.Title, e.Labels = "", map[string]string{} })},
		badInput{"edited title of blanks", "title", edit(func(e *incident.Edit) { e.Title = " \u200b" })},
		badInput{"edited title of 1001 characters", "title", edit(func(e *incident.Edit) { e.Title = strings.Repeat("é", incident.MaxTitleLength+1) })},
		badInput{"label without a value", "labels", create(func(n *incident.NewIncident) { n.Labels = map[string]string{"env": ""} })},
		badInput{"annotation without a value", "annotations", create(func(n *incident.NewIncident) { n.Annotations = map[string]string{"env": ""} })},
		badInput{"listed label without a value", "labels", list(func(f *incident.IncidentFilter) { f.Labels = map[string]string{"env": ""} })},
		badInput{"33 labels", "labels", create(func(n *incident.NewIncident) { n.Labels = labelsOf(incident.MaxLabels+1, 1000) })},
		badInput{"a byte of labels too many", "labels", create(func(n *incident.NewIncident) { n.Labels = labelsOf(1, incident.MaxLabelsSize+1) })},
		badInput{"65 annotations", "annotations", create(func(n *incident.NewIncident) { n.Annotations = labelsOf(incident.MaxAnnotations+1, 1000) })},
		badInput{"a byte of annotations too many", "annotations", create(func(n *incident.NewIncident) { n.Annotations = labelsOf(1, incident.MaxAnnotationsSize+1) })},
		badInput{"33 listed labels", "labels", list(func(f *incident.IncidentFilter) { f.Labels = labelsOf(incident.MaxLabels+1, 1000) })},
		badInput{"65 edited labels", "labels", edit(func(e *incident.Edit) { e.Labels = labelsOf(2*incident.MaxLabels+1, 1000) })},
		badInput{"33 labels after an edit", "labels", edit(func(e *incident.Edit) { e.Labels = labelsOf(incident.MaxLabels+1, 1000) })},
		badInput{"129 edited annotations", "annotations", edit(func(e *incident.Edit) { e.Annotations = labelsOf(2*incident.MaxAnnotations+1, 1000) })},
		badInput{"64 MiB of labels", "labels", edit(func(e *incident.Edit) { e.Labels = map[string]string{"env": strings.Repeat("x", 64<<20)} })},
		badInput{"a name of 64 MiB", "labels", edit(func(e *incident.Edit) { e.Labels = map[string]string{strings.Repeat("x", 64<<20): "x"} })},
		badInput{"count below 1", "limit", count(func(f *incident.IncidentFilter) { f.Limit = -1 })},
		badInput{"count above the greatest", "limit", count(func(f *incident.IncidentFilter) { f.Limit = incident.MaxCount + 1 })},
		badInput{"count after a cursor", "cursor", count(func(f *incident.IncidentFilter) { f.Cursor = "x" })},
		badInput{"count without a tenant", "organizationId", count(func(f *incident.IncidentFilter) { f.OrganizationID = "" })},
		badInput{"count of an unknown status", "status", count(func(f *incident.IncidentFilter) { f.Statuses = []incident.Status{3} })},
		badInput{"count of labels of another page", "cursor", count(func(f *incident.IncidentFilter) { f.Labels, f.Cursor = labels, "x" })},
	)
}

// operationLimits are calls at the limits, which must be accepted.
var operationLimits = map[string]func(context.Context, incident.Manager) error{
	"32 labels of 8 KiB": create(func(n *incident.NewIncident) { n.Labels = labelsOf(incident.MaxLabels, incident.MaxLabelsSize) }),
	"a label of 8 KiB":   create(func(n *incident.NewIncident) { n.Labels = labelsOf(1, incident.MaxLabelsSize) }),
	"64 annotations of 32 KiB": create(func(n *incident.NewIncident) {
		n.Annotations = labelsOf(incident.MaxAnnotations, incident.MaxAnnotationsSize)
	}),
	"a label name of 255 bytes": create(func(n *incident.NewIncident) { n.Labels = map[string]string{long[1:]: "x"} }),
	"lines in a value":          create(func(n *incident.NewIncident) { n.Annotations = map[string]string{"runbook": "1.\tLook.\n2.\tThink.\n"} }),
	"recorded now":              create(func(n *incident.NewIncident) { n.DateAdded = now.Add(999) }),
	"recorded in 1970":          create(func(n *incident.NewIncident) { n.DateAdded = time.Unix(0, 0) }),
	"until a microsecond ahead": acknowledge(func(a *incident.Acknowledgement) { a.Until = now.Add(time.Microsecond) }),
	"until the year 9999":       acknowledge(func(a *incident.Acknowledgement) { a.Until = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
	"assignee of 255 bytes":     assign(func(a *incident.Assignment) { a.Assignee = incident.UserID(long[1:]) }),
	"remark of 65,536 bytes":    edit(func(e *incident.Edit) { e.Comment = strings.Repeat("x", incident.MaxCommentSize) }),
	"removal of 64 labels":      edit(func(e *incident.Edit) { e.Labels = removed(2 * incident.MaxLabels) }),
	"removal of 128 annotations": edit(func(e *incident.Edit) {
		e.Annotations = removed(2 * incident.MaxAnnotations)
	}),
	"filter by 32 labels": list(func(f *incident.IncidentFilter) { f.Labels = labelsOf(incident.MaxLabels, incident.MaxLabelsSize) }),
	"a program":           acknowledge(func(a *incident.Acknowledgement) { a.UserID = "" }),
}

func removed(n int) map[string]string {
	labels := map[string]string{}
	for _, name := range many[string](n) {
		labels[name] = ""
	}
	return labels
}

// Names and values of labels are compared byte for byte, and have no meaning for a store.
func TestManager_hostileLabels(t *testing.T) {
	ctx := t.Context()
	m, _ := fixture(t)
	names := []string{
		"'; DROP TABLE incident; --", `\`, "%", "_", `"`, "{}", "null", " ", "env", "Env", "ENV", "env ", "labels.env",
		"é", "e\u0301", "\u202eenv", "🚒", "$1", "a=b", "a", "a,b", strings.Repeat("x", incident.MaxIDSize),
	}
	labels := map[string]string{}
	for i, name := range names {
		labels[name] = names[len(names)-1-i]
	}
	created, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Hostile", Labels: labels, Annotations: labels})
	if err != nil {
		t.Fatal(err)
	}
	inc, err := m.Get(ctx, created.Key())
	if err != nil || !maps.Equal(inc.Labels, labels) || !maps.Equal(inc.Annotations, labels) {
		t.Errorf("the labels are %q and %q, %v, want %q", inc.Labels, inc.Annotations, err, labels)
	}
	for name, value := range labels {
		for filter, want := range map[[2]string]int{{name, value}: 1, {name, value + " "}: 0, {name + " ", value}: 0, {value, name + "x"}: 0} {
			if labels[filter[0]] == filter[1] {
				want = 1
			}
			if len(filter[0]) > incident.MaxIDSize {
				continue
			}
			page, err := m.List(ctx, incident.IncidentFilter{OrganizationID: "acme", Labels: map[string]string{filter[0]: filter[1]}})
			if err != nil || len(page.Incidents) != want {
				t.Errorf("%q lists %d incidents, %v, want %d", filter, len(page.Incidents), err, want)
			}
		}
	}
	for _, name := range names {
		if _, err := m.Edit(ctx, created.Key(), incident.Edit{Labels: map[string]string{name: ""}}); err != nil {
			t.Fatal(err)
		}
	}
	if inc, err := m.Get(ctx, created.Key()); err != nil || inc.Labels != nil {
		t.Errorf("without its labels the incident has %q, %v", inc.Labels, err)
	}
}

// A cursor belongs to the labels, the assignee and the acknowledgement of its filter.
func TestManager_cursorsOfOtherFilters(t *testing.T) {
	m, _ := fixture(t)
	f := incident.IncidentFilter{OrganizationID: "acme", Labels: map[string]string{"env": "prod"}, Limit: 1}
	for range 3 {
		if err := create(func(n *incident.NewIncident) { n.Labels = f.Labels })(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	page, err := m.List(t.Context(), f)
	if err != nil || page.Next == "" {
		t.Fatalf("List = %+v, %v", page, err)
	}
	f.Cursor = page.Next
	for name, change := range map[string]func(*incident.IncidentFilter){
		"value":           func(f *incident.IncidentFilter) { f.Labels = map[string]string{"env": "test"} },
		"name":            func(f *incident.IncidentFilter) { f.Labels = map[string]string{"Env": "prod"} },
		"further label":   func(f *incident.IncidentFilter) { f.Labels = map[string]string{"env": "prod", "team": "a"} },
		"assignee":        func(f *incident.IncidentFilter) { f.Assignee = "ada" },
		"acknowledgement": func(f *incident.IncidentFilter) { f.Acknowledged = new(bool) },
	} {
		other := f
		change(&other)
		if _, err := m.List(t.Context(), other); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("with another %s the cursor = %v, want ErrInvalid", name, err)
		}
	}
	if _, err := m.List(t.Context(), f); err != nil {
		t.Errorf("with the same filter the cursor = %v", err)
	}
}
