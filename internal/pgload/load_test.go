package pgload_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The loaded data looks as if the library had written it, and the library can continue
// from it.
func TestLoad_looksWritten(t *testing.T) {
	ctx := t.Context()
	pool := sqlx.MustOpen("postgres", pgtest.NewDatabase(t))
	defer pool.Close()
	opts := &postgres.Options{Schema: "loaded"}
	if err := postgres.Migrate(ctx, pool, opts); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	if err := pgload.Load(ctx, pool, opts.Schema, n); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.New(pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for org, want := range map[int]int64{0: n / 2, 1: n/2/99 + 1, 99: n / 2 / 99} {
		id := incident.OrganizationID(pgload.Org(org))
		if err := managertest.Audit(ctx, m, s, id); err != nil {
			t.Error(err)
		}
		r, err := m.Create(ctx, incident.NewIncident{OrganizationID: id, Title: "One more"})
		if err != nil || r.Identifier != want+1 {
			t.Errorf("after %d incidents of %s, Create() = %s, %v", want, id, r.Key(), err)
		}
	}
	last := incident.OrganizationID(pgload.Org(pgload.Organizations))
	if page, err := m.List(ctx, incident.IncidentFilter{OrganizationID: last}); err != nil || len(page.Incidents) > 0 {
		t.Errorf("organization %s has %d incidents, %v", last, len(page.Incidents), err)
	}
	firing := incident.Firing{
		Slot:      incident.Slot{OrganizationID: incident.OrganizationID(pgload.Org(0)), AlertRuleID: "busy", ProjectID: "all", QueryID: "query-50"},
		TriggerID: "threshold", Severity: incident.StatusWarning, Title: "Again",
	}
	r, err := m.Fire(ctx, firing)
	if err != nil || r.Identifier != 50 {
		t.Errorf("Fire() in the slot of incident 50 = %s, %v", r.Key(), err)
	}
}
