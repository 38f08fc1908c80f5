package incident_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// The numbers and names on the wire are those of Sentry's incidents module, and must not change.
func TestWire(t *testing.T) {
	id := uuid.MustParse("11111111-1111-1111-1111-111111111111")
	closed := now.Add(time.Hour)
	open := incident.Incident{
		OrganizationID: "acme", Identifier: 42, Title: "Down", Type: incident.TypeAlertTriggered,
		Status: incident.StatusCritical, StatusMethod: incident.StatusMethodRuleTriggered,
		AlertRuleID: "rule", QueryID: "query", Projects: []incident.ProjectID{"checkout"},
		DateStarted: now, DateDetected: now, DateAdded: now, Version: 3,
	}
	over := incident.Incident{
		OrganizationID: "acme", Identifier: 42, Title: "Down", Status: incident.StatusClosed,
		StatusMethod: incident.StatusMethodManual, DetectionUUID: id, Projects: []incident.ProjectID{},
		DateStarted: now, DateDetected: now, DateAdded: now, DateClosed: &closed, Version: 4,
	}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"open incident": {open, `{"organizationId":"acme","identifier":"42","title":"Down","type":2,"status":20,"statusMethod":3,` +
			`"alertRule":"rule","query":"query","projects":["checkout"],"dateStarted":"2026-03-14T02:31:00Z",` +
			`"dateDetected":"2026-03-14T02:31:00Z","dateCreated":"2026-03-14T02:31:00Z","dateClosed":null,"version":3}`},
		"closed incident": {over, `{"organizationId":"acme","identifier":"42","title":"Down","type":0,"status":2,"statusMethod":1,` +
			`"alertRule":"","query":"","detectionUuid":"11111111-1111-1111-1111-111111111111","projects":[],` +
			`"dateStarted":"2026-03-14T02:31:00Z","dateDetected":"2026-03-14T02:31:00Z","dateCreated":"2026-03-14T02:31:00Z",` +
			`"dateClosed":"2026-03-14T03:31:00Z","version":4}`},
		"status change": {
			incident.Activity{
				Incident: open.Key(), Sequence: 3, Type: incident.ActivityTypeStatusChange, UserID: "ada",
				PreviousValue: incident.StatusOpen, Value: incident.StatusWarning, NotificationUUID: id, DateAdded: now,
			},
			`{"incident":{"organizationId":"acme","identifier":"42"},"id":"3","type":2,"user":"ada","value":"10","previousValue":"1",` +
				`"comment":"","notificationUuid":"11111111-1111-1111-1111-111111111111","dateCreated":"2026-03-14T02:31:00Z",` +
				`"dateEdited":null,"dateDeleted":null,"revision":0}`,
		},
		"notification": {
			incident.Notification{
				Activity: incident.Activity{Incident: open.Key(), Sequence: 3, Type: incident.ActivityTypeComment, NotificationUUID: id, DateAdded: now},
				Incident: over, Recipients: []incident.UserID{"ada"}, Attempt: 2,
			},
			`{"activity":{"incident":{"organizationId":"acme","identifier":"42"},"id":"3","type":3,"user":"","comment":"",` +
				`"notificationUuid":"11111111-1111-1111-1111-111111111111","dateCreated":"2026-03-14T02:31:00Z","dateEdited":null,` +
				`"dateDeleted":null,"revision":0},"incident":{"organizationId":"acme","identifier":"42","title":"Down","type":0,"status":2,` +
				`"statusMethod":1,"alertRule":"","query":"","detectionUuid":"11111111-1111-1111-1111-111111111111","projects":[],` +
				`"dateStarted":"2026-03-14T02:31:00Z","dateDetected":"2026-03-14T02:31:00Z","dateCreated":"2026-03-14T02:31:00Z",` +
				`"dateClosed":"2026-03-14T03:31:00Z","version":4},"recipients":["ada"],"attempt":2,"replayed":false}`,
		},
		"parked notification": {
			incident.ParkedNotification{Incident: open.Key(), Sequence: 3, NotificationUUID: id, Attempts: 20, Error: "busy", DateParked: now},
			`{"incident":{"organizationId":"acme","identifier":"42"},"activity":"3","notificationUuid":"11111111-1111-1111-1111-111111111111",` +
				`"attempts":20,"error":"busy","dateParked":"2026-03-14T02:31:00Z"}`,
		},
		"reminder": {
			incident.Reminder{
				Name: "escalate", Notifier: "pager", At: now, Unless: incident.UnlessAcknowledged | incident.UnlessLowered,
				Status: incident.StatusCritical, NotificationUUID: id,
			},
			`{"name":"escalate","notifier":"pager","at":"2026-03-14T02:31:00Z","unless":3,"status":20,` +
				`"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"plain reminder": {
			incident.Reminder{Name: "escalate", At: now, Status: incident.StatusOpen, NotificationUUID: id},
			`{"name":"escalate","at":"2026-03-14T02:31:00Z","status":1,"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"notification of a reminder": {
			incident.Notification{
				Reminder: &incident.Reminder{Name: "escalate", At: now, Status: incident.StatusOpen, NotificationUUID: id},
				Incident: over, Recipients: []incident.UserID{}, Attempt: 1, Replayed: true,
			},
			`{"reminder":{"name":"escalate","at":"2026-03-14T02:31:00Z","status":1,"notificationUuid":"11111111-1111-1111-1111-111111111111"},` +
				`"incident":{"organizationId":"acme","identifier":"42","title":"Down","type":0,"status":2,` +
				`"statusMethod":1,"alertRule":"","query":"","detectionUuid":"11111111-1111-1111-1111-111111111111","projects":[],` +
				`"dateStarted":"2026-03-14T02:31:00Z","dateDetected":"2026-03-14T02:31:00Z","dateCreated":"2026-03-14T02:31:00Z",` +
				`"dateClosed":"2026-03-14T03:31:00Z","version":4},"recipients":[],"attempt":1,"replayed":true}`,
		},
		"parked reminder": {
			incident.ParkedNotification{
				Incident: open.Key(), Notifier: "pager", Reminder: &incident.Reminder{Name: "escalate", At: now, Status: incident.StatusOpen, NotificationUUID: id},
				NotificationUUID: id, Attempts: 1, Error: "gone", DateParked: now,
			},
			`{"incident":{"organizationId":"acme","identifier":"42"},"notifier":"pager","reminder":{"name":"escalate","at":"2026-03-14T02:31:00Z",` +
				`"status":1,"notificationUuid":"11111111-1111-1111-1111-111111111111"},"notificationUuid":"11111111-1111-1111-1111-111111111111",` +
				`"attempts":1,"error":"gone","dateParked":"2026-03-14T02:31:00Z"}`,
		},
		"parked selection": {
			[]any{incident.ParkedSelection{OrganizationID: "acme"}, incident.ParkedFilter{OrganizationID: "acme", Notifier: "pager", Identifier: 42, Cursor: "x", Limit: 5}},
			`[{"organizationId":"acme"},{"organizationId":"acme","notifier":"pager","identifier":"42","cursor":"x","limit":5}]`,
		},
		"conditions": {[]incident.Unless{incident.UnlessClosed, incident.UnlessAcknowledged, incident.UnlessLowered}, `[0,1,2]`},
		"trigger": {
			incident.Trigger{
				Incident: open.Key(), TriggerID: "5%", Status: incident.TriggerStatusResolved,
				Severity: incident.StatusWarning, DateAdded: now, DateModified: closed,
			},
			`{"incident":{"organizationId":"acme","identifier":"42"},"alertRuleTrigger":"5%","status":1,"severity":10,` +
				`"dateCreated":"2026-03-14T02:31:00Z","dateModified":"2026-03-14T03:31:00Z"}`,
		},
		"activity types": {
			[]incident.ActivityType{
				incident.ActivityTypeCreated, incident.ActivityTypeStatusChange,
				incident.ActivityTypeComment, incident.ActivityTypeDetected,
			}, `[1,2,3,4]`,
		},
		"what is left": {
			[]any{incident.StatusOpen, incident.StatusMethodRuleUpdated, incident.TypeDetected, incident.TriggerStatusActive},
			`[1,2,0,0]`,
		},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s is %s, %v\nwant %s", name, got, err, c.want)
		}
	}
	details, err := json.Marshal(incident.Details{Incident: open, SeenBy: []incident.Seen{{Incident: open.Key(), UserID: "ada", LastSeen: now}}, HasSeen: true})
	var fields map[string]any
	if err != nil || json.Unmarshal(details, &fields) != nil {
		t.Fatalf("details are %s, %v", details, err)
	}
	for _, name := range []string{"identifier", "dateStarted", "triggers", "seenBy", "hasSeen", "isSubscribed"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the details have no %s: %s", name, details)
		}
	}
	var back incident.Incident
	if data, _ := json.Marshal(over); json.Unmarshal(data, &back) != nil || !back.DateClosed.Equal(closed) || back.Key() != over.Key() {
		t.Errorf("an incident comes back as %+v", back)
	}
	for status, label := range map[incident.Status]string{
		incident.StatusOpen: "Open", incident.StatusClosed: "Resolved", incident.StatusWarning: "Warning", incident.StatusCritical: "Critical", 3: "Status(3)",
	} {
		if status.String() != label {
			t.Errorf("status %d is labelled %s", int(status), status)
		}
	}
}

// An empty list is [] in JSON, even if the store returns nil.
func TestWire_emptyLists(t *testing.T) {
	ctx := t.Context()
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	created, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	key := created.Key()
	if err != nil {
		t.Fatal(err)
	}
	linked := func(change func(context.Context, incident.Key, incident.ProjectID) (incident.Result, error)) any {
		r, err := change(ctx, key, "checkout")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got := map[string]any{"Create": created}
	got["UnlinkProject, unchanged"] = linked(m.UnlinkProject)
	linked(m.LinkProject)
	got["UnlinkProject"] = linked(m.UnlinkProject)
	for name, read := range map[string]func() (any, error){
		"Get":     func() (any, error) { return m.Get(ctx, key) },
		"Details": func() (any, error) { return m.Details(ctx, key, "") },
		"List": func() (any, error) {
			p, err := m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})
			return p.Incidents, err
		},
		"List of nothing": func() (any, error) {
			p, err := m.List(ctx, incident.IncidentFilter{OrganizationID: "none"})
			return p.Incidents, err
		},
		"SeenBy":      func() (any, error) { return m.SeenBy(ctx, key) },
		"Subscribers": func() (any, error) { return m.Subscribers(ctx, key) },
		"UpdateStatus": func() (any, error) {
			return m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusWarning})
		},
		"UpdateStatus, unchanged": func() (any, error) {
			return m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusWarning})
		},
	} {
		if got[name], err = read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, value := range got {
		data, err := json.Marshal(value)
		if text := strings.ReplaceAll(string(data), `"dateClosed":null`, ""); err != nil || strings.Contains(text, "null") {
			t.Errorf("%s is %s, %v", name, data, err)
		}
	}
}
