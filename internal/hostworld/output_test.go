package hostworld_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Reads return the same whatever form of output is a database's default.
func TestStore_outputDefaults(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	admin := world{open: openPQ, conns: 1}.mustOpen(t, url)
	if err := postgres.Migrate(t.Context(), admin, nil); err != nil {
		t.Fatal(err)
	}
	plain := mustNew(t, admin, nil)
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "cpu", ProjectID: "api"}
	r, err := mustManager(t, plain).Fire(t.Context(), incident.Firing{
		Slot: slot, Title: `Läuft "nicht" \x`, TriggerID: "t", Severity: incident.StatusCritical,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := mustRead(t, plain, r.Key(), slot)
	var name string
	if err := admin.Get(&name, "SELECT current_database()"); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"bytea_output = escape", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "IntervalStyle = iso_8601"} {
		admin.MustExec("ALTER DATABASE " + name + " SET " + setting)
	}
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			s := mustNew(t, w.mustOpen(t, w.through(t, url)), &w.options)
			for i, got := range mustRead(t, s, r.Key(), slot) {
				if !reflect.DeepEqual(got, want[i]) {
					t.Errorf("read %d returns %+v, want %+v", i, got, want[i])
				}
			}
		})
	}
}

// mustRead returns what each kind of read has of an incident.
func mustRead(t *testing.T, s *postgres.Store, key incident.Key, slot incident.Slot) []any {
	t.Helper()
	m := mustManager(t, s)
	inc, err := m.Get(t.Context(), key)
	held, heldErr := s.LoadSlot(t.Context(), slot)
	details, detailsErr := m.Details(t.Context(), key, "ada")
	activities, activitiesErr := m.Activities(t.Context(), key, incident.ActivityFilter{})
	page, pageErr := m.List(t.Context(), incident.IncidentFilter{OrganizationID: key.OrganizationID})
	if err := errors.Join(err, heldErr, detailsErr, activitiesErr, pageErr); err != nil {
		t.Fatal(err)
	}
	return []any{inc, held, details, activities, page}
}
