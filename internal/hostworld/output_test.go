package hostworld_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Calls return the same whatever form of output is a database's default.
func TestStore_outputDefaults(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	admin := world{open: openPQ, conns: 1}.mustOpen(t, url)
	if err := postgres.Migrate(t.Context(), admin, nil); err != nil {
		t.Fatal(err)
	}
	plain := mustManager(t, mustNew(t, admin, nil))
	r, err := plain.Fire(t.Context(), incident.Firing{
		Slot: incident.Slot{OrganizationID: "acme", AlertRuleID: "cpu", ProjectID: "api"}, Title: `Läuft "nicht" \x`, TriggerID: "t",
		Severity: incident.StatusCritical,
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain.Get(t.Context(), r.Key())
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := admin.Get(&name, "SELECT current_database()"); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"bytea_output = escape", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "IntervalStyle = iso_8601"} {
		admin.MustExec("ALTER DATABASE " + name + " SET " + setting)
	}
	for _, w := range worlds {
		if w.bouncer != nil || strings.Contains(w.name, "serializable") {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			s := mustNew(t, w.mustOpen(t, url), &w.options)
			if got, err := mustManager(t, s).Get(t.Context(), r.Key()); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Get() = %+v, %v, want %+v", got, err, want)
			}
			if got, err := s.LoadSlot(t.Context(), incident.Slot{OrganizationID: "acme", AlertRuleID: "cpu", ProjectID: "api"}); err != nil || got.State == nil || !reflect.DeepEqual(got.State.Incident, want) {
				t.Errorf("LoadSlot() = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}
