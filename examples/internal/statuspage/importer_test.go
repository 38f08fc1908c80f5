package statuspage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

const sample = "../../statuspage/testdata/sample.json"

// historyFiles are the tested files: the sample, and the real history that
// STATUSPAGE_HISTORY names.
func historyFiles() []string {
	files := []string{sample}
	if name := os.Getenv("STATUSPAGE_HISTORY"); name != "" {
		files = append(files, name)
	}
	return files
}

// page is the file as decoded by encoding/json, independently of the importer.
type page struct {
	Page      struct{ ID incident.OrganizationID }
	Incidents []pageIncident
}

type pageIncident struct {
	ID, Name   string
	StartedAt  time.Time  `json:"started_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	Components []struct{ Name incident.ProjectID }
	Updates    []pageUpdate `json:"incident_updates"`
}

type pageUpdate struct {
	Body      string
	DisplayAt time.Time `json:"display_at"`
}

// mustReadPage returns the page, with incidents by start and updates by time.
func mustReadPage(t *testing.T, file string) page {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p page
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(p.Incidents, func(a, b pageIncident) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(a.ID, b.ID))
	})
	for _, inc := range p.Incidents {
		slices.Reverse(inc.Updates)
		slices.SortStableFunc(inc.Updates, func(a, b pageUpdate) int { return a.DisplayAt.Compare(b.DisplayAt) })
	}
	return p
}

// The stored data equals the file.
func TestImport_storesTheFile(t *testing.T) {
	for _, file := range historyFiles() {
		t.Run(file, func(t *testing.T) {
			want := mustReadPage(t, file)
			incidents := newManager(t)
			added := mustImport(t, incidents, mustReadHistory(t, file))
			got := snapshot(t, incidents, want.Page.ID)
			if len(got) != len(want.Incidents) {
				t.Fatalf("%d incidents are stored, want %d", len(got), len(want.Incidents))
			}
			var counted Tally
			for n, w := range want.Incidents {
				counted.incidents++
				counted.updates += len(w.Updates)
				if w.ResolvedAt != nil {
					counted.closed++
				}
				checkIncident(t, got[n], w)
			}
			counted.newIncidents, counted.newUpdates = counted.incidents, counted.updates
			if added != counted {
				t.Errorf("Import() = %+v, want %+v", added, counted)
			}
		})
	}
}

func checkIncident(t *testing.T, got stored, want pageIncident) {
	t.Helper()
	if got.Title != want.Name || !got.DateStarted.Equal(want.StartedAt) {
		t.Errorf("%v is %q of %v, want %q of %v", got.Key(), got.Title, got.DateStarted, want.Name, want.StartedAt)
	}
	if !equalTimes(got.DateClosed, want.ResolvedAt) || (want.ResolvedAt == nil) != got.Status.Active() {
		t.Errorf("%v is %v, closed %v, want %v", got.Key(), got.Status, got.DateClosed, want.ResolvedAt)
	}
	if want.ResolvedAt != nil {
		lasted := want.ResolvedAt.Sub(want.StartedAt)
		if d := got.Duration(time.Now()); d != lasted {
			t.Errorf("%v lasted %v, want %v", got.Key(), d, lasted)
		}
	}
	var projects []incident.ProjectID
	for _, c := range want.Components {
		projects = append(projects, c.Name)
	}
	slices.Sort(projects)
	if !slices.Equal(got.Projects, projects) {
		t.Errorf("%v affects %q, want %q", got.Key(), got.Projects, projects)
	}
	checkComments(t, got, want.Updates)
}

// checkComments compares the comments, and the position of the end among them.
func checkComments(t *testing.T, got stored, want []pageUpdate) {
	t.Helper()
	var comments []incident.Activity
	for _, a := range got.activities {
		switch a.Type {
		case incident.ActivityTypeComment:
			comments = append(comments, a)
		case incident.ActivityTypeStatusChange:
			if n := len(comments); n > 0 && comments[n-1].DateAdded.After(a.DateAdded) {
				t.Errorf("%v was closed at %v after a comment of %v", got.Key(), a.DateAdded, comments[n-1].DateAdded)
			}
		}
	}
	if len(comments) != len(want) {
		t.Errorf("%v has %d comments, want %d", got.Key(), len(comments), len(want))
		return
	}
	for n, a := range comments {
		body := strings.ReplaceAll(want[n].Body, "\r\n", "\n")
		if a.Comment != body || !a.DateAdded.Equal(want[n].DisplayAt) || a.UserID != author {
			t.Errorf("%v: comment %d is %q of %v by %s, want %q of %v",
				got.Key(), n+1, a.Comment, a.DateAdded, a.UserID, body, want[n].DisplayAt)
		}
	}
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// A second import adds nothing and changes no version.
func TestImport_againAddsNothing(t *testing.T) {
	for _, file := range historyFiles() {
		t.Run(file, func(t *testing.T) {
			past := mustReadHistory(t, file)
			incidents := newManager(t)
			first := mustImport(t, incidents, past)
			before := snapshot(t, incidents, past.Page)

			second := mustImport(t, incidents, mustReadHistory(t, file))
			if want := (Tally{incidents: first.incidents, updates: first.updates}); second != want {
				t.Errorf("second Import() = %+v, want %+v", second, want)
			}
			if !reflect.DeepEqual(snapshot(t, incidents, past.Page), before) {
				t.Error("the second import changed the stored data")
			}
		})
	}
}

// older and newer are two files of the same page. In newer the incident has ended,
// affects another component and has another update; a second incident has an earlier
// start; and title, impact and the page's name have changed.
const (
	older = `{"page": {"id": "p", "name": "Old"}, "incidents": [
{"id": "b", "name": "B", "status": "investigating", "impact": "minor", "started_at": "2024-01-02T00:00:00Z",
 "components": [{"name": "API"}], "incident_updates": [
  {"id": "b1", "body": "Begun.", "display_at": "2024-01-02T00:00:00Z"}]}]}`
	newer = `{"page": {"id": "p", "name": "New"}, "incidents": [
{"id": "b", "name": "B, now better named", "status": "postmortem", "impact": "critical", "started_at": "2024-01-02T00:00:00Z", "resolved_at": "2024-01-02T01:00:00Z",
 "components": [{"name": "Web"}, {"name": "API"}], "incident_updates": [
  {"id": "b3", "body": "Why.", "display_at": "2024-01-05T00:00:00Z"},
  {"id": "b2", "body": "Over.", "display_at": "2024-01-02T01:00:00Z"},
  {"id": "b1", "body": "Begun.", "display_at": "2024-01-02T00:00:00Z"}]},
{"id": "a", "name": "A", "status": "resolved", "impact": "none", "started_at": "2024-01-01T00:00:00Z", "resolved_at": "2024-01-01T00:30:00Z"}]}`
)

func TestImport_addsFromNewerFile(t *testing.T) {
	incidents := newManager(t)
	steps := []struct {
		name, data string
		want       Tally
	}{
		{"older", older, Tally{incidents: 1, newIncidents: 1, updates: 1, newUpdates: 1}},
		{"newer", newer, Tally{incidents: 2, newIncidents: 1, updates: 3, newUpdates: 2, closed: 2, linked: 1}},
		{"newer again", newer, Tally{incidents: 2, updates: 3}},
		{"older again", older, Tally{incidents: 1, updates: 1}},
	}
	var before []stored
	for _, step := range steps {
		if got := mustImport(t, incidents, mustDecode(t, step.data)); got != step.want {
			t.Errorf("%s: Import() = %+v, want %+v", step.name, got, step.want)
		}
		now := snapshot(t, incidents, "p")
		if strings.HasSuffix(step.name, "again") && !reflect.DeepEqual(now, before) {
			t.Errorf("%s: the import changed the stored data", step.name)
		}
		before = now
	}

	b, a := before[0], before[1]
	if b.Title != "B" || b.Status != incident.StatusClosed || b.Duration(time.Now()) != time.Hour ||
		!slices.Equal(b.Projects, []incident.ProjectID{"API", "Web"}) {
		t.Errorf("the known incident is %+v", b.Incident)
	}
	var history []string
	for _, entry := range b.activities {
		history = append(history, entry.Type.String()+" "+entry.Comment)
	}
	want := []string{"Detected ", "Created ", "Comment Begun.", "ProjectLinked ", "Comment Over.", "StatusChange ", "Comment Why."}
	if !slices.Equal(history, want) {
		t.Errorf("its history is %q, want %q", history, want)
	}
	if a.Identifier != 2 || a.Title != "A" || a.Status != incident.StatusClosed {
		t.Errorf("the new incident is %+v", a.Incident)
	}
}

// Incidents of different pages with the same IDs are kept apart.
func TestImport_keepsPagesApart(t *testing.T) {
	incidents := newManager(t)
	mustImport(t, incidents, mustDecode(t, newer))
	other := mustDecode(t, strings.Replace(newer, `"id": "p"`, `"id": "q"`, 1))
	if got := mustImport(t, incidents, other); got.newIncidents != 2 || got.newUpdates != 3 {
		t.Errorf("Import() of the other page = %+v", got)
	}
	p, q := snapshot(t, incidents, "p"), snapshot(t, incidents, "q")
	if len(p) != len(q) {
		t.Fatalf("the pages have %d and %d incidents", len(p), len(q))
	}
	for n := range p {
		if p[n].Title != q[n].Title || len(p[n].activities) != len(q[n].activities) {
			t.Errorf("incidents of the same file differ: %+v and %+v", p[n], q[n])
		}
	}
}

// Users' changes to an imported incident persist.
func TestImport_KeepsWhatUsersDid(t *testing.T) {
	ctx, incidents := t.Context(), newManager(t)
	mustImport(t, incidents, mustDecode(t, older))
	key := incident.Key{OrganizationID: "p", Identifier: 1}
	for _, a := range snapshot(t, incidents, "p")[0].activities {
		if a.Type != incident.ActivityTypeComment {
			continue
		}
		if _, err := incidents.DeleteComment(ctx, key, incident.CommentEdit{Sequence: a.Sequence, UserID: author}); err != nil {
			t.Fatal(err)
		}
	}
	mustImport(t, incidents, mustDecode(t, newer))
	if _, err := incidents.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusWarning, UserID: "ada"}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, incidents, "p")
	mustImport(t, incidents, mustDecode(t, newer))
	if !reflect.DeepEqual(snapshot(t, incidents, "p"), before) {
		t.Error("the import undid changes of users")
	}
}

// An interrupted import leaves nothing behind.
func TestImport_interruptedLeavesNothing(t *testing.T) {
	incidents := newManager(t)
	ctx, interrupt := context.WithCancel(t.Context())
	_, err := Import(ctx, incidents, mustReadHistory(t, sample), func(done int) {
		if done == 3 {
			interrupt()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Import() = %v, want the context's error", err)
	}
	if got := snapshot(t, incidents, "parcelfox"); len(got) != 0 {
		t.Errorf("%d incidents were imported, want none", len(got))
	}
}

func mustReadHistory(t *testing.T, file string) *History {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	past, err := Read(file, f)
	if err != nil {
		t.Fatal(err)
	}
	return past
}

func mustImport(t *testing.T, incidents incident.Manager, past *History) Tally {
	t.Helper()
	added, err := Import(t.Context(), incidents, past, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return added
}
