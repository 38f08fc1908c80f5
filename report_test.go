package incident_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

var reportStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func reportFilter() incident.ReportFilter {
	return incident.ReportFilter{OrganizationID: "acme", Start: reportStart, End: reportStart.AddDate(0, 0, 2)}
}

// newAt returns a Manager whose clock stands.
func newAt(t *testing.T, s incident.Store, now time.Time) incident.Manager {
	t.Helper()
	m, err := incident.New(s, &incident.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantField checks that an error names a field of the input.
func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var bad *incident.FieldError
	if !errors.As(err, &bad) || bad.Field != field || !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("the error is %v, want one that names %s", err, field)
	}
}

// fakeReports is a store that answers reports by a function.
type fakeReports struct {
	*memory.Store
	report func(q incident.ReportQuery) (incident.ReportNumbers, error)
}

func (s fakeReports) Report(_ context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	return s.report(q)
}

func TestManager_Report_refusesInvalidFilters(t *testing.T) {
	m := newAt(t, memory.New(), reportStart)
	for _, c := range []struct {
		field  string
		change func(f *incident.ReportFilter)
	}{
		{"organizationId", func(f *incident.ReportFilter) { f.OrganizationID = "" }},
		{"organizationId", func(f *incident.ReportFilter) { f.OrganizationID = "a\x00" }},
		{"access", func(f *incident.ReportFilter) { f.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{""}} }},
		{"access", func(f *incident.ReportFilter) {
			f.Access = &incident.ProjectAccess{Projects: make([]incident.ProjectID, incident.MaxAccessProjects+1)}
		}},
		{"projects", func(f *incident.ReportFilter) { f.Projects = []incident.ProjectID{"a", "\xff"} }},
		{"projects", func(f *incident.ReportFilter) { f.Projects = make([]incident.ProjectID, incident.MaxProjects+1) }},
		{"alertRule", func(f *incident.ReportFilter) { f.AlertRuleID = "a\nb" }},
		{"labels", func(f *incident.ReportFilter) { f.Labels = map[string]string{"": "x"} }},
		{"start", func(f *incident.ReportFilter) { f.Start = time.Time{} }},
		{"start", func(f *incident.ReportFilter) { f.Start = time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC) }},
		{"end", func(f *incident.ReportFilter) { f.End = time.Time{} }},
		{"end", func(f *incident.ReportFilter) { f.End = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"end", func(f *incident.ReportFilter) { f.End = f.Start }},
		{"end", func(f *incident.ReportFilter) { f.End = f.Start.Add(-time.Hour) }},
		{"end", func(f *incident.ReportFilter) { f.End = f.Start.Add(999 * time.Nanosecond) }},
	} {
		f := reportFilter()
		c.change(&f)
		_, err := m.Report(t.Context(), f)
		wantField(t, err, c.field)
	}
}

// The store gets the conditions sorted and without repetitions, and the bounds in UTC and whole
// microseconds.
func TestManager_Report_asksInCanonicalForm(t *testing.T) {
	var asked incident.ReportQuery
	m := newAt(t, fakeReports{memory.New(), func(q incident.ReportQuery) (incident.ReportNumbers, error) {
		asked = q
		return incident.ReportNumbers{Periods: make([]incident.PeriodNumbers, len(q.Bounds)-1)}, nil
	}}, reportStart)
	tokyo := mustZone(t, "Asia/Tokyo")
	f := incident.ReportFilter{
		OrganizationID: "acme", AlertRuleID: "latency", Location: tokyo,
		Access:   &incident.ProjectAccess{Projects: []incident.ProjectID{"b", "a", "b"}},
		Projects: []incident.ProjectID{"d", "c", "d"},
		Labels:   map[string]string{"team": "shop", "env": "prod"},
		Start:    reportStart.Add(1999 * time.Nanosecond).In(tokyo), End: reportStart.Add(24*time.Hour + 1999*time.Nanosecond).In(tokyo),
	}
	r, err := m.Report(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	micro := reportStart.Add(time.Microsecond)
	want := incident.ReportQuery{
		OrganizationID: "acme", AlertRuleID: "latency",
		Access:   &incident.ProjectAccess{Projects: []incident.ProjectID{"a", "b"}},
		Projects: []incident.ProjectID{"c", "d"},
		Labels:   []incident.Label{{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}},
		Bounds:   []time.Time{micro, reportStart.Add(15 * time.Hour), micro.Add(24 * time.Hour)},
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("the store is asked %+v, want %+v", asked, want)
	}
	if r.Days[1].Start != reportStart.Add(15*time.Hour).In(tokyo) {
		t.Errorf("the second day begins at %v, want the location of the filter", r.Days[1].Start)
	}
	if f.Projects[0] != "d" || f.Access.Projects[0] != "b" {
		t.Error("Report has changed its argument")
	}
}

// Without a location, days begin at midnight in UTC.
func TestManager_Report_countsByDay(t *testing.T) {
	clock := reportStart
	m, err := incident.New(memory.New(), &incident.Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	var keys []incident.Key
	for i := range 3 {
		clock = reportStart.Add(time.Duration(i) * 12 * time.Hour)
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, r.Key())
	}
	clock = reportStart.Add(30 * time.Hour)
	if _, err := m.Acknowledge(t.Context(), keys[0], incident.Acknowledgement{UserID: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.UpdateStatus(t.Context(), keys[1], incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
		t.Fatal(err)
	}
	got, err := m.Report(t.Context(), reportFilter())
	if err != nil {
		t.Fatal(err)
	}
	summary := func(d time.Duration) incident.DurationSummary {
		return incident.DurationSummary{Count: 1, Mean: d, Median: d, P95: d}
	}
	day := func(n int) time.Time { return reportStart.AddDate(0, 0, n) }
	want := incident.Report{
		Total: incident.ReportPeriod{Start: day(0), End: day(2), Opened: 3, Acknowledged: summary(30 * time.Hour), Closed: summary(18 * time.Hour)},
		Days: []incident.ReportPeriod{
			{Start: day(0), End: day(1), Opened: 2},
			{Start: day(1), End: day(2), Opened: 1, Acknowledged: summary(30 * time.Hour), Closed: summary(18 * time.Hour)},
		},
		Active: map[incident.Status]int{incident.StatusOpen: 2, incident.StatusWarning: 0, incident.StatusCritical: 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Report() = %+v, want %+v", got, want)
	}
	text, err := json.Marshal(got.Days[1])
	const wantText = `{"start":"2026-03-02T00:00:00Z","end":"2026-03-03T00:00:00Z","opened":1,` +
		`"acknowledged":{"count":1,"mean":108000000000000,"median":108000000000000,"p95":108000000000000},` +
		`"closed":{"count":1,"mean":64800000000000,"median":64800000000000,"p95":64800000000000}}`
	if err != nil || string(text) != wantText {
		t.Errorf("a day is %s, %v in JSON, want %s", text, err, wantText)
	}
}

// A duration that is longer than a time.Duration is the longest.
func TestManager_Report_boundsDurations(t *testing.T) {
	m := newAt(t, fakeReports{memory.New(), func(incident.ReportQuery) (incident.ReportNumbers, error) {
		p := incident.PeriodNumbers{Closed: incident.DurationNumbers{
			Count: 2, Mean: math.MaxInt64 / 1000, Median: math.MaxInt64/1000 + 1, P95: math.MaxInt64,
		}}
		return incident.ReportNumbers{Total: p, Periods: []incident.PeriodNumbers{p, {}}}, nil
	}}, reportStart)
	r, err := m.Report(t.Context(), reportFilter())
	want := incident.DurationSummary{Count: 2, Mean: math.MaxInt64 / 1000 * time.Microsecond, Median: math.MaxInt64, P95: math.MaxInt64}
	if err != nil || r.Total.Closed != want {
		t.Errorf("Report() has %+v, %v, want %+v", r.Total.Closed, err, want)
	}
}

// A wrong answer of the store, and a panic, are errors.
func TestManager_Report_guardsAgainstTheStore(t *testing.T) {
	one := incident.DurationNumbers{Count: 1, Mean: 1, Median: 1, P95: 1}
	two := func(n incident.ReportNumbers) incident.ReportNumbers {
		n.Periods = append(n.Periods, incident.PeriodNumbers{})
		return n
	}
	for name, n := range map[string]incident.ReportNumbers{
		"no periods":       {},
		"too few periods":  {Periods: make([]incident.PeriodNumbers, 1)},
		"too many periods": {Periods: make([]incident.PeriodNumbers, 3)},
		"other openings":   two(incident.ReportNumbers{Total: incident.PeriodNumbers{Opened: 2}, Periods: []incident.PeriodNumbers{{Opened: 1}}}),
		"other closings":   two(incident.ReportNumbers{Total: incident.PeriodNumbers{Closed: one}, Periods: []incident.PeriodNumbers{{}}}),
		"negative":         two(incident.ReportNumbers{Total: incident.PeriodNumbers{Opened: -1}, Periods: []incident.PeriodNumbers{{Opened: -1}}}),
		"a mean of none": two(incident.ReportNumbers{Periods: []incident.PeriodNumbers{{
			Acknowledged: incident.DurationNumbers{Mean: 1},
		}}}),
		"percentiles in reverse": two(incident.ReportNumbers{
			Total:   incident.PeriodNumbers{Closed: incident.DurationNumbers{Count: 1, Mean: 1, Median: 2, P95: 1}},
			Periods: []incident.PeriodNumbers{{Closed: one}},
		}),
	} {
		m := newAt(t, fakeReports{memory.New(), func(incident.ReportQuery) (incident.ReportNumbers, error) { return n, nil }}, reportStart)
		if _, err := m.Report(t.Context(), reportFilter()); !errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("Report() of a store that returns %s = %v, want ErrUnavailable", name, err)
		}
	}
	m := newAt(t, fakeReports{memory.New(), func(incident.ReportQuery) (incident.ReportNumbers, error) { panic("broken") }}, reportStart)
	if _, err := m.Report(t.Context(), reportFilter()); !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("Report() of a store that panics = %v, want ErrUnavailable", err)
	}
	failed := fmt.Errorf("%w: no server", incident.ErrUnavailable)
	m = newAt(t, fakeReports{memory.New(), func(incident.ReportQuery) (incident.ReportNumbers, error) { return incident.ReportNumbers{}, failed }}, reportStart)
	if r, err := m.Report(t.Context(), reportFilter()); !errors.Is(err, failed) || r.Days != nil {
		t.Errorf("Report() of a store that fails = %+v, %v, want the error", r, err)
	}
}

// Report finds a ReportStore behind wrappers, also in a transaction, which sees its own writes.
func TestManager_Report_findsTheStore(t *testing.T) {
	m := newAt(t, wrappedStore{wrappedStore{memory.New()}}, reportStart)
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		if _, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
			return err
		}
		r, err := tx.Report(t.Context(), reportFilter())
		if r.Total.Opened != 1 {
			t.Errorf("Report() in the transaction counts %d openings, want 1", r.Total.Opened)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if r, err := m.Report(t.Context(), reportFilter()); err != nil || r.Total.Opened != 1 {
		t.Errorf("Report() after the commit counts %d openings, %v, want 1", r.Total.Opened, err)
	}
	_, err = newAt(t, struct{ incident.Store }{memory.New()}, reportStart).Report(t.Context(), reportFilter())
	wantField(t, err, "store")
}
