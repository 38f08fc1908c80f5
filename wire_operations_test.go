package incident_test

import (
	"encoding/json"
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// operated is an incident that uses each field of this package's own.
func operated() incident.Incident {
	acknowledged, until := now.Add(time.Minute), now.Add(time.Hour)
	return incident.Incident{
		OrganizationID: "acme", Identifier: 42, Title: "Down", Status: incident.StatusWarning,
		StatusMethod: incident.StatusMethodManual, Projects: []incident.ProjectID{},
		DateStarted: now, DateDetected: now, DateAdded: now, Version: 5,
		Response: &incident.Response{
			Assignee: "grace", AcknowledgedBy: "ada", DateAcknowledged: &acknowledged, AcknowledgedUntil: &until,
			AcknowledgedStatus: incident.StatusWarning,
		},
		Labels:      map[string]string{"service": "checkout", "env": "prod"},
		Annotations: map[string]string{"runbook": "https://wiki"},
		DuplicateOf: 7,
	}
}

// The names on the wire of the fields of this package's own must not change either.
func TestWire_operations(t *testing.T) {
	id := uuid.MustParse("11111111-1111-1111-1111-111111111111")
	activity := func(kind incident.ActivityType, change func(*incident.Activity)) incident.Activity {
		a := incident.Activity{Incident: key, Sequence: 3, Type: kind, UserID: "ada", NotificationUUID: id, DateAdded: now}
		change(&a)
		return a
	}
	wire := func(kind, own string) string {
		return `{"incident":{"organizationId":"acme","identifier":"1"},"id":"3","type":` + kind + `,"user":"ada",` + own +
			`"comment":"","notificationUuid":"11111111-1111-1111-1111-111111111111","dateCreated":"2026-03-14T02:31:00Z",` +
			`"dateEdited":null,"dateDeleted":null,"revision":0}`
	}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"incident": {operated(), `{"organizationId":"acme","identifier":"42","title":"Down","type":0,"status":10,"statusMethod":1,` +
			`"alertRule":"","query":"","projects":[],"dateStarted":"2026-03-14T02:31:00Z","dateDetected":"2026-03-14T02:31:00Z",` +
			`"dateCreated":"2026-03-14T02:31:00Z","dateClosed":null,"version":5,"response":{"assignee":"grace","acknowledgedBy":"ada",` +
			`"dateAcknowledged":"2026-03-14T02:32:00Z","acknowledgedUntil":"2026-03-14T03:31:00Z","acknowledgedStatus":10},` +
			`"labels":{"env":"prod","service":"checkout"},"annotations":{"runbook":"https://wiki"},"duplicateOf":"7"}`},
		"assigned only": {incident.Response{Assignee: "grace"}, `{"assignee":"grace"}`},
		"acknowledged": {
			activity(incident.ActivityTypeAcknowledged, func(a *incident.Activity) {
				a.Field, a.New = "acknowledgedUntil", "2026-03-14T03:31:00Z"
			}),
			wire("100", `"field":"acknowledgedUntil","new":"2026-03-14T03:31:00Z",`),
		},
		"unacknowledged": {
			activity(incident.ActivityTypeUnacknowledged, func(a *incident.Activity) { a.TriggerID = "5%" }),
			wire("101", `"alertRuleTrigger":"5%",`),
		},
		"assigned": {
			activity(incident.ActivityTypeAssigned, func(a *incident.Activity) { a.Field, a.Old, a.New = "assignee", "ada", "grace" }),
			wire("102", `"field":"assignee","old":"ada","new":"grace",`),
		},
		"edited": {
			activity(incident.ActivityTypeEdited, func(a *incident.Activity) { a.Field, a.New = "labels.env", "prod" }),
			wire("103", `"field":"labels.env","new":"prod",`),
		},
		"marked duplicate": {
			activity(incident.ActivityTypeMarkedDuplicate, func(a *incident.Activity) { a.Field, a.New = "duplicateOf", "7" }),
			wire("108", `"field":"duplicateOf","new":"7",`),
		},
		"activity types": {
			[]incident.ActivityType{
				incident.ActivityTypeAcknowledged, incident.ActivityTypeUnacknowledged, incident.ActivityTypeAssigned,
				incident.ActivityTypeEdited, incident.ActivityTypeTriggerFired, incident.ActivityTypeTriggerResolved,
				incident.ActivityTypeProjectLinked, incident.ActivityTypeProjectUnlinked, incident.ActivityTypeMarkedDuplicate,
			}, `[100,101,102,103,104,105,106,107,108]`,
		},
		"counts": {
			incident.Counts{
				ByStatus: map[incident.Status]int{incident.StatusOpen: 3, incident.StatusClosed: incident.MaxCount},
				Capped:   []incident.Status{incident.StatusClosed},
			}, `{"byStatus":{"1":3,"2":10000},"capped":[2]}`,
		},
		"counts without a cap": {
			incident.Counts{ByStatus: map[incident.Status]int{incident.StatusOpen: 0}}, `{"byStatus":{"1":0}}`,
		},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s is %s, %v\nwant %s", name, got, err, c.want)
		}
	}
}

// The fields of an incident that uses none of them cost at most 32 bytes.
func TestIncident_size(t *testing.T) {
	var inc incident.Incident
	if own := unsafe.Sizeof(inc) - unsafe.Offsetof(inc.Response); own > 32 {
		t.Errorf("the fields from Response on have %d bytes, want at most 32", own)
	}
	if sentrys := unsafe.Offsetof(inc.Response); sentrys != unsafe.Offsetof(inc.Version)+unsafe.Sizeof(inc.Version) {
		t.Errorf("Response begins at byte %d, want directly behind Version", sentrys)
	}
}

// A read that the cache answers allocates the list of projects, and nothing for what the incident
// does not use.
func TestManager_Get_allocations(t *testing.T) {
	m, _ := fixture(t)
	ctx := t.Context()
	if allocs := testing.AllocsPerRun(100, func() {
		if _, err := m.Get(ctx, key); err != nil {
			t.Fatal(err)
		}
	}); allocs > 1 {
		t.Errorf("Get allocates %.0f times, want 1", allocs)
	}
}
