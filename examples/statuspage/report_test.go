package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
	"github.com/incidentkit/incident/store/memory"
)

// unresolved is a page with an active incident.
const unresolved = `{"page": {"id": "p"}, "incidents": [
{"id": "b", "name": "B", "status": "investigating", "impact": "minor", "started_at": "2024-01-02T00:00:00Z",
 "components": [{"name": "API"}], "incident_updates": [
  {"id": "b1", "body": "Begun.", "display_at": "2024-01-02T00:00:00Z"}]}]}`

func newManager(t *testing.T) incident.Manager {
	t.Helper()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return incidents
}

func mustImport(t *testing.T, incidents incident.Manager, data string) {
	t.Helper()
	past, err := statuspage.Read("f.json", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statuspage.Import(t.Context(), incidents, past, func(int) {}); err != nil {
		t.Fatal(err)
	}
}

func mustReadFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mustReport(t *testing.T, incidents incident.Manager, organization incident.OrganizationID) string {
	t.Helper()
	r, err := readReport(t.Context(), incidents, organization)
	if err != nil {
		t.Fatal(err)
	}
	return r.String()
}

const sampleReport = `Incidents  6, 1 of them unresolved
Updates    17
Started    2025-01-14 to 2025-05-20

Severity  Incidents       Median    95th pct.
Critical          2          25m   1d 03h 30m
Warning           2          50m          50m
Open              2          20m       2h 30m
All               6          50m   1d 03h 30m

Component  Incidents       Median    95th pct.
API                3          25m       2h 30m
Dashboard          2          25m       2h 30m
Labels             2          25m          50m
Tracking           2          25m   1d 03h 30m
Webhooks           1            -            -

Longest      Duration    Title
parcelfox#4  1d 03h 30m  Tracking shows yesterday's positions
parcelfox#2  2h 30m      Move of the order database
parcelfox#1  50m         Parcel labels print slowly
parcelfox#3  25m         Nobody can sign in
parcelfox#5  20m         Wrong clock on the status page

Durations are of resolved incidents; percentiles are by nearest rank.
`

func TestReport_Sample(t *testing.T) {
	incidents := newManager(t)
	mustImport(t, incidents, mustReadFile(t, "testdata/sample.json"))
	if got := mustReport(t, incidents, "parcelfox"); got != sampleReport {
		t.Errorf("report is\n%s, want\n%s", got, sampleReport)
	}
}

func TestReport_Empty(t *testing.T) {
	if got, want := mustReport(t, newManager(t), "nobody"), "No incidents.\n"; got != want {
		t.Errorf("report is %q, want %q", got, want)
	}
}

// The report is the same after importing a file again, and beside another page with the
// same content.
func TestReport_onlyOfThePage(t *testing.T) {
	for _, file := range historyFiles() {
		data, incidents := mustReadFile(t, file), newManager(t)
		past, err := statuspage.Read(file, strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		mustImport(t, incidents, data)
		want := mustReport(t, incidents, past.Page)
		mustImport(t, incidents, data)
		page := string(past.Page)
		other := strings.Repeat("x", len(page)) // as wide in the table
		mustImport(t, incidents, strings.Replace(data, page, other, 1))
		if got := mustReport(t, incidents, past.Page); got != want {
			t.Errorf("the report of %s became\n%s, want\n%s", file, got, want)
		}
		if got := mustReport(t, incidents, incident.OrganizationID(other)); strings.ReplaceAll(got, other+"#", page+"#") != want {
			t.Errorf("the report of another page with the incidents of %s is\n%s, want\n%s", file, got, want)
		}
	}
}

// Without resolved incidents there are no durations. Without components there is no table
// of components.
func TestReport_Unresolved(t *testing.T) {
	incidents := newManager(t)
	mustImport(t, incidents, strings.Replace(unresolved, `{"name": "API"}`, "", 1))
	const want = `Incidents  1, 1 of them unresolved
Updates    1
Started    2024-01-02 to 2024-01-02

Severity  Incidents       Median    95th pct.
Warning           1            -            -
All               1            -            -

Durations are of resolved incidents; percentiles are by nearest rank.
`
	if got := mustReport(t, incidents, "p"); got != want {
		t.Errorf("report is\n%s, want\n%s", got, want)
	}
}

// Long lists and histories have several pages, and all are read.
func TestReport_readsAllPages(t *testing.T) {
	var list, updates strings.Builder
	for n := range 250 {
		fmt.Fprintf(&updates, `{"id": "%d", "body": "x", "display_at": "2024-01-01T00:00:00Z"}, `, n)
	}
	for n := range 249 {
		fmt.Fprintf(&list, `{"id": "%d", "name": "x", "status": "resolved", "impact": "none",
			"started_at": "2024-01-01T00:00:00Z", "resolved_at": "2024-01-01T00:00:00Z"}, `, n)
	}
	data := strings.Replace(unresolved, `"incidents": [`, `"incidents": [`+list.String(), 1)
	data = strings.Replace(data, `"incident_updates": [`, `"incident_updates": [`+updates.String(), 1)
	incidents := newManager(t)
	for range 2 {
		mustImport(t, incidents, data)
		r, err := readReport(t.Context(), incidents, "p")
		if err != nil || r.incidents != 250 || r.updates != 251 {
			t.Errorf("report has %d incidents with %d updates, %v, want 250 with 251", r.incidents, r.updates, err)
		}
	}
}

func TestPercentile(t *testing.T) {
	tests := []struct {
		durations    []time.Duration
		median, high time.Duration
	}{
		{[]time.Duration{7}, 7, 7},
		{[]time.Duration{2, 1}, 1, 2},
		{[]time.Duration{3, 1, 2}, 2, 3},
		{[]time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 10, 19},
		{[]time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21}, 11, 20},
	}
	for _, test := range tests {
		if got := percentile(test.durations, 50); got != test.median {
			t.Errorf("median of %v = %d, want %d", test.durations, got, test.median)
		}
		if got := percentile(test.durations, 95); got != test.high {
			t.Errorf("95th percentile of %v = %d, want %d", test.durations, got, test.high)
		}
	}
}

func TestHuman(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                               "0s",
		59*time.Second + 999:            "59s",
		time.Minute:                     "1m",
		time.Hour - 1:                   "59m",
		2*time.Hour + 5*time.Minute:     "2h 05m",
		24*time.Hour - 1:                "23h 59m",
		24 * time.Hour:                  "1d 00h 00m",
		1000*time.Hour + 59*time.Second: "41d 16h 00m",
	} {
		if got := human(d); got != want {
			t.Errorf("human(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	for s, want := range map[string]string{
		"Größe":                  "Größe",
		"two\nlines,\ta  tab":    "two lines, a tab",
		"\u202eturned":           "\ufffdturned",
		strings.Repeat("ä", 60):  strings.Repeat("ä", 60),
		strings.Repeat("ä", 61):  strings.Repeat("ä", 59) + "…",
		strings.Repeat("ä ", 60): strings.Repeat("ä ", 29) + "ä…",
	} {
		if got := oneLine(s); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", s, got, want)
		}
	}
}
