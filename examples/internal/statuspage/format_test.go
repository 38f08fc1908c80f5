package statuspage

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// realFile is a file as a page serves it, with at most one usable incident.
type realFile struct {
	name, data string
	want       string // status, start, end, projects and comments of the incident
	tally      string // the counts beyond those of every import
}

// onePage returns a page with an incident of the id, with the given fields.
func onePage(fields string) string {
	return `{"page": {"id": "p"}, "incidents": [{"id": "a", "name": "A", "impact": "minor", ` + fields + `}]}`
}

// updatesOf returns the updates of an incident: id, status, minute of the day and body.
func updatesOf(updates ...string) string {
	list := make([]string, len(updates))
	for n, u := range updates {
		var id, status, at, body string
		if _, err := fmt.Sscan(u, &id, &status, &at, &body); err != nil {
			panic(err)
		}
		list[len(updates)-1-n] = fmt.Sprintf(`{"id": "%s", "status": "%s", "display_at": "2026-10-01T%s:00Z", "body": "%s"}`, id, status, at, body)
	}
	return `"incident_updates": [` + strings.Join(list, ", ") + `]`
}

func realFiles() []realFile {
	past := updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.")
	many := func(n int) string {
		var list []string
		for c := range n {
			list = append(list, fmt.Sprintf(`{"id": "%d", "name": "c%03d"}`, c, c))
		}
		return strings.Join(list, ", ")
	}
	day := func(at string) string { return `"2026-10-01T` + at + `:00Z"` }
	next := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	return []realFile{
		// An incident that the page added afterwards.
		{
			"resolved_at before started_at", onePage(`"status": "resolved", "created_at": ` + day("12:00") + `, "started_at": ` + day("12:00") + `, "resolved_at": ` + day("09:00") + `, ` + past),
			"Resolved 08:00-09:00 [] Begun. Over.", "",
		},
		{
			"created_at before started_at", onePage(`"status": "resolved", "created_at": ` + day("07:00") + `, "started_at": ` + day("12:00") + `, "resolved_at": ` + day("09:00") + `, ` + past),
			"Resolved 07:00-09:00 [] Begun. Over.", "",
		},
		{
			"started_at before created_at", onePage(`"status": "resolved", "created_at": ` + day("12:00") + `, "started_at": ` + day("06:00") + `, "resolved_at": ` + day("09:00") + `, ` + past),
			"Resolved 06:00-09:00 [] Begun. Over.", "",
		},
		{
			"resolved_at at the only update", onePage(`"status": "resolved", "created_at": ` + day("12:00") + `, "started_at": ` + day("12:00") + `, "resolved_at": ` + day("09:00") + `, ` + updatesOf("1 resolved 09:00 Over.")),
			"Resolved 09:00-09:00 [] Over.", "",
		},

		// Dates that pages leave out.
		{
			"no started_at", onePage(`"status": "resolved", "created_at": ` + day("08:30") + `, "resolved_at": ` + day("09:00") + `, ` + updatesOf("1 resolved 09:00 Over.")),
			"Resolved 08:30-09:00 [] Over.", "",
		},
		{"only dates of updates", onePage(`"status": "resolved", ` + past), "Resolved 08:00-09:00 [] Begun. Over.", ""},
		{"no resolved_at", onePage(`"status": "resolved", "created_at": ` + day("08:00") + `, "resolved_at": null, ` + past), "Resolved 08:00-09:00 [] Begun. Over.", ""},
		{
			"no resolved_at but a postmortem", onePage(`"status": "postmortem", ` + updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.", "3 postmortem 13:00 Why.")),
			"Resolved 08:00-09:00 [] Begun. Over. Why.", "",
		},
		{
			"no resolved_at and no update that resolves", onePage(`"status": "resolved", ` + updatesOf("1 investigating 08:00 Begun.", "2 monitoring 08:40 Fixed.")),
			"Resolved 08:00-08:40 [] Begun. Fixed.", "",
		},

		// Maintenances.
		{
			"scheduled-maintenances.json", strings.Replace(onePage(`"status": "completed", "created_at": "2026-09-20T12:00:00Z", "started_at": "2026-09-20T12:00:00Z", "scheduled_for": `+day("08:00")+`, "resolved_at": `+day("09:00")+`, `+
				updatesOf("1 scheduled 00:00 Planned.", "2 in_progress 08:00 Begun.", "3 completed 09:00 Over.")), "incidents", "scheduled_maintenances", 1),
			"Resolved 08:00-09:00 [] Planned. Begun. Over.", "",
		},
		{
			"a maintenance that began earlier", onePage(`"status": "in_progress", "scheduled_for": ` + day("08:00") + `, ` + updatesOf("1 scheduled 00:00 Planned.", "2 in_progress 07:00 Begun.")),
			"Warning 07:00 [] Planned. Begun.", "",
		},
		{
			"a maintenance that was cancelled", onePage(`"status": "completed", "scheduled_for": ` + day("08:00") + `, "resolved_at": ` + day("05:00") + `, ` + updatesOf("1 scheduled 00:00 Planned.", "2 completed 05:00 Cancelled.")),
			"Resolved 05:00-05:00 [] Planned. Cancelled.", "",
		},
		{
			"a maintenance that was cancelled without a word", onePage(`"status": "completed", "scheduled_for": ` + day("08:00") + `, "resolved_at": ` + day("05:00")),
			"Resolved 05:00-05:00 []", "",
		},
		{"a maintenance that is late", onePage(`"status": "scheduled", "scheduled_for": ` + day("08:00") + `, ` + updatesOf("1 scheduled 00:00 Planned.")), "Warning 08:00 [] Planned.", ""},
		{
			"a maintenance of next week", onePage(`"status": "scheduled", "created_at": ` + day("08:00") + `, "scheduled_for": "` + next + `", ` + updatesOf("1 scheduled 00:00 Planned.")),
			"", "; 1 maintenances have not begun",
		},
		{"a maintenance of the next hour", onePage(`"status": "scheduled", "created_at": ` + day("08:00") + `, "scheduled_for": "` + soon + `"`), "", "; 1 maintenances have not begun"},
		{
			"incidents and maintenances", `{"page": {"id": "p"}, "incidents": [], "scheduled_maintenances": [{"id": "a", "name": "A", "impact": "none", "status": "scheduled", "scheduled_for": ` + day("08:00") + `}]}`,
			"Open 08:00 []", "",
		},

		// The list of a page's own API.
		{
			"a list without a page", "\n" + `[{"id": "a", "page_id": "p", "name": "A", "impact": "minor", "status": "resolved", "created_at": ` + day("08:00") + `, "resolved_at": ` + day("09:00") + `}]`,
			"Resolved 08:00-09:00 []", "",
		},

		// Components.
		{
			"two groups with the same names", onePage(`"status": "monitoring", "started_at": ` + day("08:00") + `, "components": [{"id": "1", "name": "API", "group_id": "eu"}, {"id": "2", "name": "API", "group_id": "us"}, {"id": "3", "name": "API", "group_id": null}]`),
			"Warning 08:00 [API API (eu) API (us)]", "",
		},
		{
			"more than 100 components", onePage(`"status": "monitoring", "started_at": ` + day("08:00") + `, "components": [` + many(150) + `]`),
			"Warning 08:00 [100]", "; 50 components are beyond the limit of 100 of an incident",
		},
		{
			"the same component 150 times", onePage(`"status": "monitoring", "started_at": ` + day("08:00") + `, "components": [` + strings.Repeat(`{"name": "API"}, `, 149) + `{"name": "API"}]`),
			"Warning 08:00 [API]", "",
		},

		// Texts.
		{"a byte order mark", "\ufeff" + onePage(`"status": "resolved", `+past), "Resolved 08:00-09:00 [] Begun. Over.", ""},
		{"line ends of files", strings.ReplaceAll(onePage(`"status": "resolved", `+past), ", ", ",\r"), "Resolved 08:00-09:00 [] Begun. Over.", ""},
		{"line ends of texts", strings.Replace(onePage(`"status": "monitoring", `+updatesOf(`1 monitoring 08:00 a\rb\r\nc\nd\r\r`)), `"A"`, `"A\rA\r\nA"`, 1), "Warning 08:00 [] a|b|c|d||", ""},
		{
			"updates without a text", strings.NewReplacer(`"Empty."`, `""`, `"Blank."`, `" \r\n"`, `"Null."`, "null").Replace(onePage(`"status": "resolved", ` +
				updatesOf("1 investigating 08:00 Begun.", "2 identified 08:10 Empty.", "3 monitoring 08:20 Blank.", "4 monitoring 08:30 Null.", "5 resolved 09:00 Empty."))),
			"Resolved 08:00-09:00 [] Begun. |", "; 4 updates have no text",
		},
	}
}

// describe returns status, start, end, projects and comments of an incident.
func describe(s stored) string {
	text := s.Status.String() + " " + s.DateStarted.Format("15:04")
	if s.DateClosed != nil {
		text += "-" + s.DateClosed.Format("15:04")
	}
	projects := fmt.Sprint(s.Projects)
	if len(s.Projects) > 50 {
		projects = fmt.Sprintf("[%d]", len(s.Projects))
	}
	text += " " + projects
	for _, a := range s.activities {
		if a.Type == incident.ActivityTypeComment {
			text += " " + strings.ReplaceAll(a.Comment, "\n", "|")
		}
	}
	return text
}

// Files of real pages are imported whole, leniently and strictly, and again without a
// change.
func TestImport_realFiles(t *testing.T) {
	for _, file := range realFiles() {
		for _, strict := range []bool{false, true} {
			if strict && (strings.Contains(file.tally, "limit") || strings.Contains(file.tally, "no text")) {
				continue // refused: see TestHostileFiles_strict
			}
			t.Run(fmt.Sprintf("%s, strict %t", file.name, strict), func(t *testing.T) {
				past, err := Options{Strict: strict}.decode("f.json", []byte(file.data))
				if err != nil {
					t.Fatal(err)
				}
				incidents := newManager(t)
				for range 2 {
					added := mustImport(t, incidents, past)
					if _, extra, _ := strings.Cut(added.String(), " components"); extra != file.tally {
						t.Errorf("Import() counted %q, want %q", extra, file.tally)
					}
					got := ""
					if all := snapshot(t, incidents, "p"); len(all) > 0 {
						got = describe(all[0])
					}
					if got != strings.TrimSuffix(file.want, " |") {
						t.Errorf("imported %q, want %q", got, file.want)
					}
				}
			})
		}
	}
}

// A component beyond the limit is counted for each import, also where a user has linked
// projects.
func TestImport_countsComponentsBeyondTheLimit(t *testing.T) {
	incidents := newManager(t)
	file := func(n int) *History {
		var list bytes.Buffer
		for c := range n {
			fmt.Fprintf(&list, `{"name": "c%03d"},`, c)
		}
		components := strings.Replace(strings.TrimSuffix(list.String(), ","), "c120", `\u0007`, 1) // not looked at
		return mustDecode(t, onePage(`"status": "monitoring", "started_at": "2026-10-01T08:00:00Z", "components": [`+components+`]`))
	}
	mustImport(t, incidents, file(99))
	key := incident.Key{OrganizationID: "p", Identifier: 1}
	if got, want := mustImport(t, incidents, file(150)), (Tally{incidents: 1, linked: 1, beyond: 50}); got != want {
		t.Errorf("Import() of 150 components = %+v, want %+v", got, want)
	}
	if _, err := incidents.UnlinkProject(t.Context(), key, "c099"); err != nil {
		t.Fatal(err)
	}
	if _, err := incidents.LinkProject(t.Context(), key, "of a user"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{99, 100, 101, 150} {
		if got, want := mustImport(t, incidents, file(n)), (Tally{incidents: 1, beyond: n - 99}); got != want {
			t.Errorf("Import() of %d components = %+v, want %+v", n, got, want)
		}
	}
	if got := snapshot(t, incidents, "p")[0].Projects; len(got) != incident.MaxProjects || !slices.Contains(got, "of a user") {
		t.Errorf("the incident has the projects %q", got)
	}
}

// Many faults are counted, and the first are listed in order of the file.
func TestImport_listsFirstFaults(t *testing.T) {
	var list strings.Builder
	for n := range 150 {
		fmt.Fprintf(&list, ",\n"+`{"id": "%d", "name": "%s", "status": "monitoring", "impact": "%s", "created_at": "2024-01-01T00:00:00Z"}`,
			n, []string{"x", ""}[n%2], []string{"none", "?"}[n%3/2])
	}
	incidents := newManager(t)
	past := mustDecode(t, strings.Replace(good, "\n]}", list.String()+"]}", 1))
	added, err := Import(t.Context(), incidents, past, func(int) {})
	if added.newIncidents != 52 || err == nil {
		t.Fatalf("Import() = %v, %v, want 52 incidents and faults", added, err)
	}
	lines := strings.Split(err.Error(), "\n")
	const first = `f.json:8:1: incident 4 (id "1"): name is required`
	if len(lines) != 100 || lines[0] != first {
		t.Errorf("the error has %d lines, of which the first is %s, want 100 and %s", len(lines), lines[0], first)
	}
	past = mustDecode(t, strings.Replace(good, "\n]}", strings.ReplaceAll(list.String(), "none", "?")+"]}", 1))
	_, err = Import(t.Context(), incidents, past, func(int) {})
	if err == nil || !strings.HasSuffix(err.Error(), "\nand 50 more records") {
		t.Errorf("Import() = %v, want 150 faults", err)
	}
}
