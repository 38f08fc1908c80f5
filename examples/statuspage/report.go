package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
)

const (
	longestShown = 5  // incidents
	textShown    = 60 // characters of a title or a component
)

// report summarizes an organization's incidents.
type report struct {
	incidents, active, updates int
	firstStart, lastStart      time.Time

	// Durations are of closed incidents only.
	bySeverity  map[incident.Status]*group
	byComponent map[incident.ProjectID]*group
	total       group
	closed      []incident.Incident
}

// group is a subset of the incidents.
type group struct {
	incidents int
	durations []time.Duration
}

// readReport reads all incidents of an organization, page by page.
func readReport(ctx context.Context, incidents incident.Manager, organization incident.OrganizationID) (*report, error) {
	r := &report{
		bySeverity:  make(map[incident.Status]*group),
		byComponent: make(map[incident.ProjectID]*group),
	}
	f := incident.IncidentFilter{OrganizationID: organization, Limit: incident.MaxPageSize}
	for {
		page, err := incidents.List(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, inc := range page.Incidents {
			activities, err := statuspage.Activities(ctx, incidents, inc.Key())
			if err != nil {
				return nil, err
			}
			r.add(inc, activities)
		}
		if page.Next == "" {
			return r, nil
		}
		f.Cursor = page.Next
	}
}

// add counts an incident. Incidents arrive latest start first.
func (r *report) add(inc incident.Incident, activities []incident.Activity) {
	r.incidents++
	r.firstStart = inc.DateStarted
	if r.incidents == 1 {
		r.lastStart = inc.DateStarted
	}
	if inc.Status.Active() {
		r.active++
	} else {
		r.closed = append(r.closed, inc)
	}
	for _, a := range activities {
		switch a.Type {
		case incident.ActivityTypeComment:
			r.updates++
		case incident.ActivityTypeCreated:
			// Once closed, the incident has lost its severity; the activity still has it.
			add(r.bySeverity, a.Value, inc)
		}
	}
	for _, component := range inc.Projects {
		add(r.byComponent, component, inc)
	}
	r.total.add(inc)
}

func add[K comparable](groups map[K]*group, key K, inc incident.Incident) {
	if groups[key] == nil {
		groups[key] = new(group)
	}
	groups[key].add(inc)
}

func (g *group) add(inc incident.Incident) {
	g.incidents++
	if inc.DateClosed != nil {
		g.durations = append(g.durations, duration(inc))
	}
}

// String returns the report as aligned columns.
func (r *report) String() string {
	if r.incidents == 0 {
		return "No incidents.\n"
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Incidents\t%d, %d of them unresolved\n", r.incidents, r.active)
	fmt.Fprintf(w, "Updates\t%d\n", r.updates)
	fmt.Fprintf(w, "Started\t%s to %s\n", r.firstStart.Format(time.DateOnly), r.lastStart.Format(time.DateOnly))
	r.writeSeverities(w)
	r.writeComponents(w)
	r.writeLongest(w)
	fmt.Fprint(w, "\nDurations are of resolved incidents; percentiles are by nearest rank.\n")
	w.Flush()
	return text.String()
}

func (r *report) writeSeverities(w io.Writer) {
	writeHeader(w, "Severity")
	for _, s := range slices.Backward(slices.Sorted(maps.Keys(r.bySeverity))) {
		writeGroup(w, s.String(), r.bySeverity[s])
	}
	writeGroup(w, "All", &r.total)
}

func (r *report) writeComponents(w io.Writer) {
	if len(r.byComponent) == 0 {
		return
	}
	writeHeader(w, "Component")
	mostFirst := slices.SortedFunc(maps.Keys(r.byComponent), func(a, b incident.ProjectID) int {
		return cmp.Or(r.byComponent[b].incidents-r.byComponent[a].incidents, cmp.Compare(a, b))
	})
	for _, c := range mostFirst {
		writeGroup(w, oneLine(string(c)), r.byComponent[c])
	}
}

func (r *report) writeLongest(w io.Writer) {
	if len(r.closed) == 0 {
		return
	}
	fmt.Fprint(w, "\nLongest\tDuration\tTitle\n")
	longestFirst := slices.SortedFunc(slices.Values(r.closed), func(a, b incident.Incident) int {
		return cmp.Or(cmp.Compare(duration(b), duration(a)), cmp.Compare(a.Identifier, b.Identifier))
	})
	for _, inc := range longestFirst[:min(len(longestFirst), longestShown)] {
		fmt.Fprintf(w, "%s\t%s\t%s\n", oneLine(inc.Key().String()), human(duration(inc)), oneLine(inc.Title))
	}
}

// duration returns the duration of a closed incident.
func duration(inc incident.Incident) time.Duration { return inc.Duration(*inc.DateClosed) }

func writeHeader(w io.Writer, name string) {
	fmt.Fprintf(w, "\n%s\t%9s\t%11s\t%11s\n", name, "Incidents", "Median", "95th pct.")
}

func writeGroup(w io.Writer, name string, g *group) {
	median, high := "-", "-"
	if len(g.durations) > 0 {
		median, high = human(percentile(g.durations, 50)), human(percentile(g.durations, 95))
	}
	fmt.Fprintf(w, "%s\t%9d\t%11s\t%11s\n", name, g.incidents, median, high)
}

// percentile returns the percentile by nearest rank: the shortest duration that at least
// p percent do not exceed. durations must not be empty.
func percentile(durations []time.Duration, p int) time.Duration {
	rank := (p*len(durations) + 99) / 100
	return slices.Sorted(slices.Values(durations))[rank-1]
}

// human formats a duration in whole minutes, as in "2h 05m".
func human(d time.Duration) string {
	minutes := int64(d / time.Minute)
	switch {
	case minutes < 1:
		return fmt.Sprintf("%ds", int64(d/time.Second))
	case minutes < 60:
		return fmt.Sprintf("%dm", minutes)
	case minutes < 24*60:
		return fmt.Sprintf("%dh %02dm", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%dd %02dh %02dm", minutes/(24*60), minutes/60%24, minutes%60)
}

// oneLine formats a text as a table cell. Titles may contain line breaks, tabs, and
// characters that change the writing direction.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	if runes := []rune(s); len(runes) > textShown {
		s = string(runes[:textShown-1]) + "…"
	}
	return s
}
