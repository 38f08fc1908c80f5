package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

var begun = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)

// history is an incident in which every text of a user, and every name of the host, is made by a
// function.
type history struct {
	inc        incident.Incident
	triggers   []incident.Trigger
	activities []incident.Activity
	options    *Options
}

func newHistory(short, long func() string) history {
	later := begun.Add(time.Hour)
	key := incident.Key{OrganizationID: incident.OrganizationID(short()), Identifier: 42}
	named := func(prefix string) map[string]string {
		m := map[string]string{}
		for i := range 3 {
			m[fmt.Sprint(short(), i)] = prefix + short()
		}
		return m
	}
	h := history{
		inc: incident.Incident{
			OrganizationID: key.OrganizationID, Identifier: 42, Title: short(), Status: incident.StatusClosed,
			AlertRuleID: incident.AlertRuleID(short()), QueryID: incident.QueryID(short()),
			Projects:    []incident.ProjectID{incident.ProjectID(short()), incident.ProjectID(short())},
			DateStarted: begun, DateDetected: begun, DateAdded: begun, DateClosed: &later, Version: 7,
			Response: &incident.Response{
				Assignee: incident.UserID(short()), AcknowledgedBy: incident.UserID(short()), DateAcknowledged: &begun, AcknowledgedUntil: &later,
			},
			Labels: named(""), DuplicateOf: 7,
		},
		options: &Options{
			User:    func(incident.UserID) string { return short() },
			Project: func(incident.ProjectID) string { return short() },
		},
	}
	h.inc.Annotations = map[string]string{short(): long()}
	for range 2 {
		h.triggers = append(h.triggers, incident.Trigger{
			Incident: key, TriggerID: incident.TriggerID(short()), Severity: incident.StatusWarning, DateAdded: begun, DateModified: later,
		})
	}
	date := later.Format(time.RFC3339Nano)
	for _, a := range []incident.Activity{
		{Type: incident.ActivityTypeDetected},
		{Type: incident.ActivityTypeCreated, Value: incident.StatusOpen},
		{Type: incident.ActivityTypeStatusChange, Value: incident.StatusWarning, PreviousValue: incident.StatusOpen, TriggerID: incident.TriggerID(short())},
		{Type: incident.ActivityTypeComment},
		{Type: incident.ActivityTypeComment, DateEdited: &later},
		{Type: incident.ActivityTypeComment, DateDeleted: &later},
		{Type: incident.ActivityTypeAcknowledged},
		{Type: incident.ActivityTypeAcknowledged, Field: "acknowledgedUntil", New: date},
		{Type: incident.ActivityTypeUnacknowledged},
		{Type: incident.ActivityTypeUnacknowledged, TriggerID: incident.TriggerID(short())},
		{Type: incident.ActivityTypeAssigned, Field: "assignee", New: short()},
		{Type: incident.ActivityTypeAssigned, Field: "assignee", Old: short(), New: short()},
		{Type: incident.ActivityTypeAssigned, Field: "assignee", Old: short()},
		{Type: incident.ActivityTypeEdited, Field: "title", Old: short(), New: short()},
		{Type: incident.ActivityTypeEdited, Field: "dateStarted", Old: date, New: date},
		{Type: incident.ActivityTypeEdited, Field: "labels." + short(), New: long()},
		{Type: incident.ActivityTypeEdited, Field: "labels." + short(), Old: long()},
		{Type: incident.ActivityTypeEdited, Field: "annotations." + short(), Old: long(), New: long()},
		{Type: incident.ActivityTypeEdited, Field: short(), Old: short(), New: short()},
		{Type: incident.ActivityTypeTriggerFired, TriggerID: incident.TriggerID(short()), Value: incident.StatusWarning},
		{Type: incident.ActivityTypeTriggerFired, TriggerID: incident.TriggerID(short()), Value: incident.StatusCritical, PreviousValue: incident.StatusWarning},
		{Type: incident.ActivityTypeTriggerResolved, TriggerID: incident.TriggerID(short()), PreviousValue: incident.StatusWarning},
		{Type: incident.ActivityTypeProjectLinked, Field: "project", New: short()},
		{Type: incident.ActivityTypeProjectUnlinked, Field: "project", Old: short()},
		{Type: incident.ActivityTypeMarkedDuplicate, Field: "duplicateOf", New: "7"},
		{Type: 200, Field: short(), Old: short(), New: short()},
	} {
		for _, user := range []incident.UserID{"", incident.UserID(short())} {
			a.Incident, a.UserID, a.DateAdded = key, user, begun
			a.Sequence = int64(len(h.activities)) + 1
			if a.DateDeleted == nil {
				a.Comment = long()
			}
			h.activities = append(h.activities, a)
		}
	}
	return h
}

func (h history) markdown(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	if err := Markdown(&out, h.inc, h.triggers, List(h.activities), h.options); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// bones returns the skeleton of a document, of which each line must be one of the structures.
func bones(t testing.TB, document string) string {
	t.Helper()
	var all []string
	for l := range strings.SplitSeq(strings.TrimSuffix(document, "\n"), "\n") {
		s, err := skeleton(l)
		if err != nil || !isStructure(s) {
			t.Fatalf("the line %q, %q, is no structure: %v", l, s, err)
		}
		if n := len(all); n > 0 && strings.HasSuffix(all[n-1], `T\`) && !strings.HasPrefix(s, "  > T") {
			t.Fatalf("no line follows the line break before %q", l)
		}
		all = append(all, s)
	}
	return strings.Join(all, "\n")
}

// harmless returns a text without punctuation that has the same blank lines.
func harmless(text string) string {
	var b strings.Builder
	blank := true
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") + "\n" {
		switch {
		case isLineBreak(r):
			if !blank {
				b.WriteString("x")
			}
			b.WriteString("\n")
			blank = true
		case r != ' ' && r != '\t':
			blank = false
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// checkForgery compares the structure of a document with a hostile text everywhere to that of the
// same document with a harmless text.
func checkForgery(t testing.TB, text string) {
	t.Helper()
	long := text + "\nx"
	short := "x" + text
	constant := func(text string) func() string { return func() string { return text } }
	document := newHistory(constant(short), constant(long)).markdown(t)
	got := strings.Split(bones(t, document), "\n")
	want := strings.Split(bones(t, newHistory(constant("x"), constant(harmless(long))).markdown(t)), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%q changes the structure from line %d:\n%q\nwant\n%q", text, i+1, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
	title := strings.TrimPrefix(strings.SplitN(document, "\n", 2)[0], "# ")
	end, _ := spanEnd(title)
	clean := strings.NewReplacer("\u2068", "", "\u2069", "").Replace(strings.TrimRight(line("x"+text), " "))
	if got := plain(strings.TrimPrefix(title[end:], " ")); got != strings.ReplaceAll(clean, "\u00a0", " ") && !strings.ContainsAny(text, "`\\") {
		t.Fatalf("the title x%q reads %q", text, got)
	}
}

var hostile = []string{
	"", " ", "\n", "\r", "\r\n", "\n\n", "\t", "    code", "\v", "\f", "\u0085", "\u2028", "\u2029", "\x00", "\x1b[31m", "\xff", "\xe2\x80",
	"# Heading", "## History", "- item", "* item", "+ item", "1. item", "1) item", "===", "---", "***", "___", "> quote", "```", "~~~", "`", "``", "` `",
	"```go\ncode\n```", "[link](https://evil.example)", "![image](x)", "<b>bold</b>", "<script>alert(1)</script>", "<!-- comment", "-->", "&lt;", "&#35;",
	"**bold**", "_it_", "~~gone~~", "| a | b |\n|---|---|", "[x]: https://evil.example", "[^1]", "https://evil.example", "www.evil.example", "a@evil.example",
	"@everyone", "@@", "@`", "`@`", "\\", "\\\\", "\\\n", "  \n", "$x$", "==x==", "x^2^", ":smile:", "{#id}", "::: warning", "- [ ] task",
	"\u202e", "\u2066", "\u2069", "\u2068", "\u200f", "\u200e", "שלום", "مرحبا 123", "😀", "e\u0301", "\u00a0", "\u3000", "\ufeff",
	"- 2026-03-14 02:31:00 UTC: `ada` changed the status from Open to Resolved", "`x` commented\n  > yes", "  > quoted\\",
}

// Texts of several hostile parts; FuzzMarkdown has the single parts.
func TestMarkdown_textsForgeNoStructure(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var text string
		for range 1 + r.IntN(5) {
			text += hostile[r.IntN(len(hostile))]
		}
		checkForgery(t, text)
	}
}

// Many lengths of runs of backticks need neither much time nor a long delimiter.
func TestQuoted_manyBackticks(t *testing.T) {
	var text strings.Builder
	for n := range 300 {
		text.WriteString(strings.Repeat("`", n) + "x")
	}
	for _, c := range []struct {
		text  string
		fence int
	}{
		{"x", 1}, {"`", 2}, {"``", 1}, {"x``x", 1}, {"`x``x", 3}, {strings.Repeat("`", 1<<20), 1}, {text.String(), 300},
	} {
		got := quoted(c.text)
		end, ok := spanEnd(got)
		if fence := len(got) - len(strings.TrimLeft(got, "`")); fence != c.fence || !ok || end != len(got) {
			t.Errorf("%d bytes have a delimiter of %d, want %d; the span ends at %d of %d", len(c.text), fence, c.fence, end, len(got))
		}
		checkForgery(t, c.text[:min(len(c.text), 2000)])
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkForgery(t, text) })
}

// Every activity is a readable sentence.
func TestMarkdown_sentences(t *testing.T) {
	h := newHistory(func() string { return "x" }, func() string { return "y" })
	h.options = nil
	var got []string
	for l := range strings.SplitSeq(h.markdown(t), "\n") {
		if sentence, ok := strings.CutPrefix(l, "- 2026-03-14 02:31:00 UTC: "); ok {
			got = append(got, sentence)
		}
	}
	if len(got) != len(sentences) {
		t.Fatalf("%d sentences, want %d", len(got), len(sentences))
	}
	for i, want := range sentences {
		if got[i] != want {
			t.Errorf("activity %d is\n%s\nwant\n%s", i+1, got[i], want)
		}
	}
}

func TestJSONLines_roundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string { return strings.ToValidUTF8(hostile[r.IntN(len(hostile))], "?") }
	h := newHistory(text, text)
	var out bytes.Buffer
	if err := JSONLines(&out, h.inc, h.triggers, List(h.activities)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1+len(h.triggers)+len(h.activities) {
		t.Errorf("%d lines", n)
	}
	var back history
	for l := range strings.Lines(out.String()) {
		var line Line
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		switch {
		case line.Incident != nil:
			back.inc = *line.Incident
		case line.Trigger != nil:
			back.triggers = append(back.triggers, *line.Trigger)
		case line.Activity != nil:
			back.activities = append(back.activities, *line.Activity)
		}
	}
	back.options = h.options
	h.options, back.options = nil, nil
	if !reflect.DeepEqual(back, h) {
		t.Errorf("the lines come back as\n%+v\nwant\n%+v", back, h)
	}
}

// writers are the functions of the package with the same input.
var writers = map[string]func(w io.Writer, activities iter.Seq2[incident.Activity, error]) error{
	"Markdown": func(w io.Writer, activities iter.Seq2[incident.Activity, error]) error {
		return Markdown(w, incident.Incident{OrganizationID: "acme", Identifier: 1}, nil, activities, nil)
	},
	"JSONLines": func(w io.Writer, activities iter.Seq2[incident.Activity, error]) error {
		return JSONLines(w, incident.Incident{OrganizationID: "acme", Identifier: 1}, nil, activities)
	},
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// comments returns n comments, and then an error unless it is nil. read counts those that were taken.
func comments(n int, read *int, err error) iter.Seq2[incident.Activity, error] {
	return func(yield func(incident.Activity, error) bool) {
		for *read < n {
			*read++
			if !yield(incident.Activity{Type: incident.ActivityTypeComment, Comment: "hm", DateAdded: begun}, nil) {
				return
			}
		}
		if err != nil {
			yield(incident.Activity{}, err)
		}
	}
}

func TestWriters_returnErrors(t *testing.T) {
	boom := errors.New("boom")
	for name, write := range writers {
		read := 0
		if err := write(io.Discard, comments(3, &read, boom)); !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "timeline: acme#1: ") {
			t.Errorf("%s with an error of the activities = %v", name, err)
		}
		read = 0
		if err := write(writerFunc(func([]byte) (int, error) { return 0, boom }), comments(10_000, &read, nil)); !errors.Is(err, boom) || read > 1000 {
			t.Errorf("%s with an error of the writer = %v after %d activities", name, err, read)
		}
		read = 0
		if err := write(writerFunc(func([]byte) (int, error) { return 0, boom }), comments(0, &read, nil)); !errors.Is(err, boom) {
			t.Errorf("%s with an error at the end = %v", name, err)
		}
	}
}

// The output is written while the activities are read.
func TestWriters_stream(t *testing.T) {
	for name, write := range writers {
		read, written, ahead := 0, 0, 0
		err := write(writerFunc(func(p []byte) (int, error) {
			ahead = max(ahead, read-written)
			written += bytes.Count(p, []byte("hm"))
			return len(p), nil
		}), comments(10_000, &read, nil))
		if err != nil || written < 9_990 || ahead > 200 {
			t.Errorf("%s read %d activities ahead, and wrote %d, %v", name, ahead, written, err)
		}
	}
}

func TestActivities_readsAllPages(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2*incident.MaxPageSize + 1 {
		if _, err := m.Comment(t.Context(), inc.Key(), incident.NewComment{Comment: "hm"}); err != nil {
			t.Fatal(err)
		}
	}
	next := int64(0)
	for a, err := range Activities(t.Context(), m, inc.Key()) {
		if next++; err != nil || a.Sequence != next {
			t.Fatalf("activity %d is %+v, %v", next, a, err)
		}
	}
	if next != 2*incident.MaxPageSize+3 {
		t.Errorf("%d activities", next)
	}
	for range Activities(t.Context(), m, inc.Key()) {
		break
	}
	for a, err := range Activities(t.Context(), m, incident.Key{OrganizationID: "acme", Identifier: 2}) {
		if !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("an unknown incident has %+v, %v", a, err)
		}
	}
}
