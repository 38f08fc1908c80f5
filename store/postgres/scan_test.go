package postgres

import (
	"database/sql/driver"
	"reflect"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// NULL leaves a model as it is.
func TestColumns_ofNULL(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	inc := incident.Incident{
		OrganizationID: "acme", Identifier: 7, Title: "Down", Status: incident.StatusCritical, Projects: []incident.ProjectID{"api"},
		DateStarted: at, DateClosed: &at, Version: 3, Labels: map[string]string{"team": "a"},
	}
	want := inc.Clone()
	dest := scanIncident(&inc)
	rows := &driverRows{values: make([]driver.Value, len(dest))}
	if err := rows.Scan(dest...); err != nil || !reflect.DeepEqual(inc, want) {
		t.Errorf("after NULL in each column: %+v, %v, want %+v", inc, err, want)
	}
}

// The destinations of a state need no memory beside their list and the decoder of the optional fields.
func TestColumns_needNoMemory(t *testing.T) {
	var s incident.State
	var trigger incident.Trigger
	decoder := optional(&s.Incident)
	list := make([]any, 0, 32)
	allocs := testing.AllocsPerRun(100, func() {
		list = appendTrigger(append(appendIncident(list[:0], &s.Incident, decoder), integer(&s.WriteID)), &trigger)
	})
	if allocs > 0 {
		t.Errorf("the destinations of a state take %v allocations, want 0", allocs)
	}
}
