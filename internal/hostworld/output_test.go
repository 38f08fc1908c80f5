package hostworld_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Reads return the same whatever form of output is a database's default.
func TestStore_outputDefaults(t *testing.T) {
	t.Parallel()
	d := newOutput(t, "bytea_output = escape", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "IntervalStyle = iso_8601")
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			got, err := d.read(t, mustNew(t, w.mustOpen(t, w.through(t, d.url)), &w.options))
			if err != nil {
				t.Fatal(err)
			}
			d.check(t, got)
		})
	}
}

// A driver reads a time in another style than ISO, or the error names the setting.
func TestStore_dateStyle(t *testing.T) {
	t.Parallel()
	d := newOutput(t, "DateStyle = German")
	named := 0
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			got, err := d.read(t, mustNew(t, w.mustOpen(t, w.through(t, d.url)), &w.options))
			switch {
			case err == nil:
				d.check(t, got)
			case strings.Contains(err.Error(), "set DateStyle") && !strings.Contains(err.Error(), "connection failed"):
				named++
			default:
				t.Error(err)
			}
		})
	}
	if named == 0 {
		t.Error("no driver reads texts")
	}
}

// output is an incident in a database with other defaults for the form of output.
type output struct {
	url  string
	key  incident.Key
	slot incident.Slot
	want []any // its reads with the usual defaults
}

func newOutput(t *testing.T, settings ...string) *output {
	t.Helper()
	d := &output{url: pgtest.NewDatabase(t), slot: incident.Slot{OrganizationID: "acme", AlertRuleID: "cpu", ProjectID: "api"}}
	admin := world{open: openPQ, conns: 1}.mustMigrate(t, d.url)
	plain := mustNew(t, admin, nil)
	r, err := mustManager(t, plain).Fire(t.Context(), incident.Firing{
		Slot: d.slot, Title: `Läuft "nicht" \x`, TriggerID: "t", Severity: incident.StatusCritical,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.key = r.Key()
	if d.want, err = d.read(t, plain); err != nil {
		t.Fatal(err)
	}
	var name string
	if err := admin.Get(&name, "SELECT current_database()"); err != nil {
		t.Fatal(err)
	}
	for _, setting := range settings {
		admin.MustExec("ALTER DATABASE " + name + " SET " + setting)
	}
	return d
}

// read returns what each kind of read has of the incident.
func (d *output) read(t *testing.T, s *postgres.Store) ([]any, error) {
	t.Helper()
	m := mustManager(t, s)
	inc, err := m.Get(t.Context(), d.key)
	held, heldErr := s.LoadSlot(t.Context(), d.slot)
	details, detailsErr := m.Details(t.Context(), d.key, "ada")
	activities, activitiesErr := m.Activities(t.Context(), d.key, incident.ActivityFilter{})
	page, pageErr := m.List(t.Context(), incident.IncidentFilter{OrganizationID: d.key.OrganizationID})
	return []any{inc, held, details, activities, page}, errors.Join(err, heldErr, detailsErr, activitiesErr, pageErr)
}

func (d *output) check(t *testing.T, got []any) {
	t.Helper()
	for i := range got {
		if !reflect.DeepEqual(got[i], d.want[i]) {
			t.Errorf("read %d returns %+v, want %+v", i, got[i], d.want[i])
		}
	}
}
