package statuspage

import (
	"reflect"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// days are the files of an incident that is resolved, reopened and resolved, as the page
// serves them day by day.
var days = []string{
	onePage(`"status": "investigating", "started_at": "2026-10-01T08:00:00Z", ` + updatesOf("1 investigating 08:00 Begun.")),
	onePage(`"status": "resolved", "started_at": "2026-10-01T08:00:00Z", "resolved_at": "2026-10-01T09:00:00Z", ` +
		updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.")),
	onePage(`"status": "identified", "started_at": "2026-10-01T08:00:00Z", "resolved_at": null, ` +
		updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.", "3 identified 10:00 Again.")),
	onePage(`"status": "resolved", "started_at": "2026-10-01T08:00:00Z", "resolved_at": "2026-10-01T11:00:00Z", ` +
		updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.", "3 identified 10:00 Again.", "4 resolved 11:00 Done.")),
	onePage(`"status": "postmortem", "started_at": "2026-10-01T08:00:00Z", "resolved_at": "2026-10-01T11:00:00Z", ` +
		updatesOf("1 investigating 08:00 Begun.", "2 resolved 09:00 Over.", "3 identified 10:00 Again.", "4 resolved 11:00 Done.", "5 postmortem 12:00 Why.")),
}

var dayWants = []string{
	"Warning 08:00 [] Begun.",
	"Resolved 08:00-09:00 [] Begun. Over.",
	"Warning 08:00 [] Begun. Over. Again.",
	"Resolved 08:00-11:00 [] Begun. Over. Again. Done.",
	"Resolved 08:00-11:00 [] Begun. Over. Again. Done. Why.",
}

// silent returns the files with no text in the updates that change the status.
func silent(files []string) (quiet []string) {
	for _, file := range files {
		quiet = append(quiet, strings.NewReplacer(`"Over."`, `""`, `"Again."`, `""`, `"Done."`, `""`).Replace(file))
	}
	return quiet
}

// An import of a file gives the same, whichever of the files before were imported, how often
// and in which order.
func TestImport_followsGrowingHistory(t *testing.T) {
	for name, files := range map[string][]string{"with texts": days, "without texts": silent(days)} {
		t.Run(name, func(t *testing.T) {
			for picked := range 1 << len(files) {
				incidents := newManager(t)
				for n, file := range files {
					if picked&(1<<n) == 0 {
						continue
					}
					mustImport(t, incidents, mustDecode(t, file))
					want := dayWants[n]
					if name == "without texts" {
						want = strings.NewReplacer(" Over.", "", " Again.", "", " Done.", "").Replace(want)
					}
					all := snapshot(t, incidents, "p")
					if got := describe(all[0]); got != want || len(all) != 1 {
						t.Fatalf("days %b: after day %d the incident is %q, want %q", picked, n+1, got, want)
					}
					for older := range files[:n+1] {
						mustImport(t, incidents, mustDecode(t, files[older]))
					}
					if !reflect.DeepEqual(snapshot(t, incidents, "p"), all) {
						t.Fatalf("days %b: after day %d an older file changed the incident", picked, n+1)
					}
				}
			}
		})
	}
}

// The counts and the history of an incident that was reopened.
func TestImport_reopens(t *testing.T) {
	incidents := newManager(t)
	for n, want := range []Tally{
		{incidents: 1, newIncidents: 1, updates: 1, newUpdates: 1},
		{incidents: 1, updates: 2, newUpdates: 1, closed: 1},
		{incidents: 1, updates: 3, newUpdates: 1, reopened: 1},
		{incidents: 1, updates: 4, newUpdates: 1, closed: 1},
		{incidents: 1, updates: 5, newUpdates: 1},
	} {
		if got := mustImport(t, incidents, mustDecode(t, days[n])); got != want {
			t.Errorf("day %d: Import() = %+v, want %+v", n+1, got, want)
		}
	}
	var history []string
	for _, a := range snapshot(t, incidents, "p")[0].activities {
		history = append(history, a.DateAdded.Format("15:04")+" "+a.Type.String()+" "+a.Value.String())
	}
	fresh := newManager(t)
	mustImport(t, fresh, mustDecode(t, days[4]))
	var again []string
	for _, a := range snapshot(t, fresh, "p")[0].activities {
		again = append(again, a.DateAdded.Format("15:04")+" "+a.Type.String()+" "+a.Value.String())
	}
	if !reflect.DeepEqual(history[2:], again[2:]) {
		t.Errorf("day by day the history is\n%q, and at once\n%q", history, again)
	}
}

// A user's change of the status persists until the page changes it again.
func TestImport_keepsStatusOfUsers(t *testing.T) {
	set := func(incidents incident.Manager, status incident.Status) {
		t.Helper()
		u := incident.StatusUpdate{Status: status, UserID: "ada"}
		if _, err := incidents.UpdateStatus(t.Context(), incident.Key{OrganizationID: "p", Identifier: 1}, u); err != nil {
			t.Fatal(err)
		}
	}
	for name, files := range map[string][]string{"with texts": days, "without texts": silent(days)} {
		for n := range files {
			incidents := newManager(t)
			mustImport(t, incidents, mustDecode(t, files[n]))
			for _, status := range []incident.Status{incident.StatusClosed, incident.StatusCritical, incident.StatusClosed} {
				set(incidents, status)
				before := snapshot(t, incidents, "p")
				mustImport(t, incidents, mustDecode(t, files[n]))
				if !reflect.DeepEqual(snapshot(t, incidents, "p"), before) {
					t.Errorf("%s: the import of day %d changed the status of a user", name, n+1)
				}
			}
			if n+1 < len(files) && n%2 == 0 {
				set(incidents, incident.StatusCritical)
				mustImport(t, incidents, mustDecode(t, files[n+1]))
				if got := snapshot(t, incidents, "p")[0]; n < 4 && got.Status != incident.StatusClosed {
					t.Errorf("%s: the page resolved the incident on day %d, and it is %v", name, n+2, got.Status)
				}
			}
		}
	}
}

// A user resolves the incident before the page does, and reopens it later.
func TestImport_keepsReopeningByUser(t *testing.T) {
	for n := range days[1:] {
		incidents := newManager(t)
		mustImport(t, incidents, mustDecode(t, days[n]))
		for step, status := range []incident.Status{incident.StatusClosed, incident.StatusCritical} {
			u := incident.StatusUpdate{Status: status, UserID: "ada"}
			if _, err := incidents.UpdateStatus(t.Context(), incident.Key{OrganizationID: "p", Identifier: 1}, u); err != nil {
				t.Fatal(err)
			}
			if step == 0 {
				mustImport(t, incidents, mustDecode(t, days[n+1]))
			}
		}
		before := snapshot(t, incidents, "p")
		mustImport(t, incidents, mustDecode(t, days[n+1]))
		if !reflect.DeepEqual(snapshot(t, incidents, "p"), before) {
			t.Errorf("a second import of day %d undid the reopening", n+2)
		}
	}
}

// A page keeps the first resolved_at, or none, and the updates tell the last end.
func TestImport_endOfReopenedIncident(t *testing.T) {
	for _, resolved := range []string{`"2026-10-01T09:00:00Z"`, `null`} {
		file := strings.Replace(days[3], `"2026-10-01T11:00:00Z"`, resolved, 1)
		incidents := newManager(t)
		mustImport(t, incidents, mustDecode(t, file))
		if got := describe(snapshot(t, incidents, "p")[0]); got != dayWants[3] {
			t.Errorf("with resolved_at %s the incident is %q, want %q", resolved, got, dayWants[3])
		}
	}
}

// A page may move an incident to before its first import. The stored start stays.
func TestImport_movedBack(t *testing.T) {
	incidents := newManager(t)
	mustImport(t, incidents, mustDecode(t, onePage(`"status": "investigating", "started_at": "2026-10-01T10:00:00Z"`)))
	moved := onePage(`"status": "resolved", "started_at": "2026-10-01T06:00:00Z", "resolved_at": "2026-10-01T07:00:00Z"`)
	for range 2 {
		mustImport(t, incidents, mustDecode(t, moved))
		if got, want := describe(snapshot(t, incidents, "p")[0]), "Resolved 10:00-10:00 []"; got != want {
			t.Errorf("the incident is %q, want %q", got, want)
		}
	}
}

// A maintenance is imported once it has begun, with its announcement.
func TestImport_maintenanceOnceBegun(t *testing.T) {
	const start = `"scheduled_for": "2026-10-01T08:00:00Z", `
	ahead := onePage(`"status": "scheduled", "scheduled_for": "9999-10-01T08:00:00Z", ` + updatesOf("1 scheduled 01:00 Planned."))
	begun := onePage(`"status": "in_progress", ` + start + updatesOf("1 scheduled 01:00 Planned.", "2 in_progress 08:00 Begun."))
	over := onePage(`"status": "completed", ` + start + updatesOf("1 scheduled 01:00 Planned.", "2 in_progress 08:00 Begun.", "3 completed 08:30 Over."))
	incidents := newManager(t)
	for n, file := range []string{ahead, begun, ahead, over, over} {
		mustImport(t, incidents, mustDecode(t, file))
		got := snapshot(t, incidents, "p")
		if n == 0 && len(got) > 0 {
			t.Errorf("a maintenance was imported before it began: %+v", got)
		}
	}
	if got, want := describe(snapshot(t, incidents, "p")[0]), "Resolved 08:00-08:30 [] Planned. Begun. Over."; got != want {
		t.Errorf("the maintenance is %q, want %q", got, want)
	}
}
