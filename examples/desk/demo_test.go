package main

import (
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/memory"
)

var demoEnd = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// demo returns the incidents of the demonstration.
func demo(t *testing.T) (all []incident.Incident, store incident.Store) {
	t.Helper()
	store = memory.New()
	n, err := fillDemo(t.Context(), store, demoEnd, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	incidents, err := incident.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, organization := range []incident.OrganizationID{demoOrganization, otherOrganization} {
		f := incident.IncidentFilter{OrganizationID: organization, Limit: incident.MaxPageSize}
		for more := true; more; more = f.Cursor != "" {
			page, err := incidents.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Incidents...)
			f.Cursor = page.Next
		}
	}
	if len(all) != n {
		t.Errorf("fillDemo() = %d, and there are %d incidents", n, len(all))
	}
	if err := managertest.Audit(t.Context(), incidents, store, demoOrganization, otherOrganization); err != nil {
		t.Error(err)
	}
	return all, store
}

func TestFillDemo_isAPlausibleMonth(t *testing.T) {
	all, store := demo(t)
	active, critical, acknowledged, short, long := 0, 0, 0, 0, 0
	titles := map[string]bool{}
	for _, inc := range all {
		titles[inc.Title] = true
		if inc.Status.Active() {
			active++
		}
		if inc.Acknowledged(demoEnd) {
			acknowledged++
		}
		if inc.Status == incident.StatusCritical {
			critical++
		}
		switch d := inc.Duration(demoEnd); {
		case d < 15*time.Minute:
			short++
		case d > 4*time.Hour:
			long++
		}
		if inc.DateStarted.After(demoEnd) || inc.DateStarted.Before(demoEnd.AddDate(0, 0, -demoDays-1)) || inc.CurrentEnd(demoEnd).After(demoEnd) {
			t.Errorf("%v is outside of the month: %v to %v", inc.Key(), inc.DateStarted, inc.DateClosed)
		}
	}
	if len(all) < 50 || active != len(current) || len(titles) != len(scenarios) || critical != 2 || acknowledged < len(all)/2 || short < 3 || long < 3 {
		t.Errorf("%d incidents, %d active, %d titles of %d, %d critical, %d acknowledged, %d short, %d long",
			len(all), active, len(titles), len(scenarios), critical, acknowledged, short, long)
	}
	if n, err := fillDemo(t.Context(), store, demoEnd.Add(time.Hour), slog.New(slog.DiscardHandler)); n != 0 || err != nil {
		t.Errorf("the second fillDemo() = %d, %v, want none", n, err)
	}
}

func TestFillDemo_isDeterministic(t *testing.T) {
	first, _ := demo(t)
	second, _ := demo(t)
	if !reflect.DeepEqual(first, second) {
		t.Error("two demonstrations differ")
	}
}

// Each user of the demonstration sees what the console and the Authorizer agree on.
func TestDemoAuthorizer_agreesWithAccess(t *testing.T) {
	for _, u := range demoUsers {
		for _, projects := range [][]incident.ProjectID{nil, {"search"}, {"checkout"}, {"checkout", "mail"}} {
			got, err := demoAuthorizer(t.Context(), u.Organization, projects, []incident.UserID{u.User, "stranger"})
			if err != nil || len(got) > 1 || (len(got) == 1) != u.sees(projects) {
				t.Errorf("of %v the Authorizer admits %v, %v", projects, got, err)
			}
		}
	}
	if got, err := demoAuthorizer(t.Context(), "elsewhere", nil, []incident.UserID{"anybody"}); len(got) != 1 || err != nil {
		t.Errorf("elsewhere the Authorizer admits %v, %v", got, err)
	}
}
