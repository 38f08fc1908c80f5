package incident_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// inputs are parameters with all fields set, and their JSON.
func inputs() map[string]struct {
	value any
	want  string
} {
	id := uuid.MustParse("11111111-1111-1111-1111-111111111111")
	slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "checkout", QueryID: "query"}
	labels, yes := map[string]string{"team": "web"}, true
	const remark = `"userId":"ada","comment":"why","version":3,"notificationUuid":"11111111-1111-1111-1111-111111111111"`
	return map[string]struct {
		value any
		want  string
	}{
		"NewIncident": {
			incident.NewIncident{
				OrganizationID: "acme", Title: "Down", Type: incident.TypeAlertTriggered, Status: incident.StatusWarning, AlertRuleID: "rule",
				QueryID: "query", Projects: []incident.ProjectID{"checkout"}, DetectionUUID: id, DateStarted: now, DateDetected: now, DateAdded: now,
				Labels: labels, Annotations: labels, UserID: "ada",
			},
			`{"organizationId":"acme","title":"Down","type":2,"status":10,"alertRule":"rule","query":"query","projects":["checkout"],` +
				`"detectionUuid":"11111111-1111-1111-1111-111111111111","dateStarted":"2026-03-14T02:31:00Z",` +
				`"dateDetected":"2026-03-14T02:31:00Z","dateCreated":"2026-03-14T02:31:00Z","labels":{"team":"web"},` +
				`"annotations":{"team":"web"},"userId":"ada"}`,
		},
		"StatusUpdate": {
			incident.StatusUpdate{
				Status: incident.StatusClosed, Method: incident.StatusMethodRuleUpdated, UserID: "ada", Comment: "why", Date: now,
				ExpectVersion: 3, NotificationUUID: id,
			},
			`{"status":2,"statusMethod":2,"userId":"ada","comment":"why","date":"2026-03-14T02:31:00Z","version":3,` +
				`"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"Firing": {
			incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Down", Date: now},
			`{"organizationId":"acme","alertRule":"rule","project":"checkout","query":"query","trigger":"5%","severity":10,` +
				`"title":"Down","date":"2026-03-14T02:31:00Z"}`,
		},
		"Resolution": {
			incident.Resolution{Slot: slot, TriggerID: "5%", Date: now},
			`{"organizationId":"acme","alertRule":"rule","project":"checkout","query":"query","trigger":"5%","date":"2026-03-14T02:31:00Z"}`,
		},
		"NewComment": {
			incident.NewComment{UserID: "ada", Comment: "Hm", Mentions: []incident.UserID{"grace"}, Date: now, NotificationUUID: id},
			`{"userId":"ada","comment":"Hm","mentions":["grace"],"date":"2026-03-14T02:31:00Z",` +
				`"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"CommentEdit": {
			incident.CommentEdit{Sequence: 4, UserID: "ada", Moderator: true, Comment: "Hm"},
			`{"sequence":"4","userId":"ada","moderator":true,"comment":"Hm"}`,
		},
		"Acknowledgement": {
			incident.Acknowledgement{UserID: "ada", Comment: "why", Until: now, Withdraw: true, ExpectVersion: 3, NotificationUUID: id},
			`{"userId":"ada","comment":"why","until":"2026-03-14T02:31:00Z","withdraw":true,"version":3,` +
				`"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"Assignment": {
			incident.Assignment{UserID: "ada", Assignee: "grace", Comment: "why", ExpectVersion: 3, NotificationUUID: id},
			`{"userId":"ada","assignee":"grace","comment":"why","version":3,"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"Edit": {
			incident.Edit{UserID: "ada", Title: "Down", DateStarted: now, Labels: labels, Annotations: labels, Comment: "why", ExpectVersion: 3, NotificationUUID: id},
			`{"userId":"ada","title":"Down","dateStarted":"2026-03-14T02:31:00Z","labels":{"team":"web"},"annotations":{"team":"web"},` +
				`"comment":"why","version":3,"notificationUuid":"11111111-1111-1111-1111-111111111111"}`,
		},
		"Duplicate": {
			incident.Duplicate{Of: 7, UserID: "ada", Comment: "why", ExpectVersion: 3, NotificationUUID: id},
			`{"duplicateOf":"7",` + remark + `}`,
		},
		"IncidentFilter": {
			incident.IncidentFilter{
				OrganizationID: "acme", Access: &incident.ProjectAccess{Projects: []incident.ProjectID{"checkout"}},
				Projects: []incident.ProjectID{"checkout"}, Statuses: incident.ActiveStatuses(), AlertRuleID: "rule", Labels: labels,
				Assignee: "ada", Acknowledged: &yes, Title: "down", Start: now, End: now.Add(time.Hour), Cursor: "c", Limit: 5,
			},
			`{"organizationId":"acme","access":{"projects":["checkout"]},"projects":["checkout"],"status":[1,10,20],"alertRule":"rule",` +
				`"labels":{"team":"web"},"assignee":"ada","acknowledged":true,"title":"down","start":"2026-03-14T02:31:00Z",` +
				`"end":"2026-03-14T03:31:00Z","cursor":"c","limit":5}`,
		},
		"ActivityFilter": {
			incident.ActivityFilter{Descending: true, Cursor: "c", Limit: 5},
			`{"descending":true,"cursor":"c","limit":5}`,
		},
		"ParkedFilter": {
			incident.ParkedFilter{OrganizationID: "acme", Cursor: "c", Limit: 5},
			`{"organizationId":"acme","cursor":"c","limit":5}`,
		},
	}
}

// The JSON names of parameters do not change, and JSON keeps every field.
func TestWire_inputs(t *testing.T) {
	for name, c := range inputs() {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s is %s, %v\nwant %s", name, got, err, c.want)
		}
		back := reflect.New(reflect.TypeOf(c.value))
		if err := json.Unmarshal([]byte(c.want), back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), c.value) {
			t.Errorf("%s comes back as %+v, %v", name, back.Elem(), err)
		}
	}
}

// Optional fields are absent if they are zero.
func TestWire_inputsWithoutOptions(t *testing.T) {
	const slot = `{"organizationId":"","alertRule":"","project":"","query":"","trigger":""`
	for _, c := range []struct {
		value any
		want  string
	}{
		{incident.NewIncident{}, `{"organizationId":"","title":""}`},
		{incident.StatusUpdate{}, `{"status":0}`},
		{incident.Firing{}, slot + `,"severity":0,"title":""}`},
		{incident.Resolution{}, slot + `}`},
		{incident.NewComment{}, `{"comment":""}`},
		{incident.CommentEdit{}, `{"sequence":"0","userId":""}`},
		{incident.Acknowledgement{}, `{}`},
		{incident.Assignment{}, `{"assignee":""}`},
		{incident.Edit{}, `{}`},
		{incident.Duplicate{}, `{"duplicateOf":"0"}`},
		{incident.IncidentFilter{}, `{"organizationId":""}`},
		{incident.ActivityFilter{}, `{}`},
		{incident.ParkedFilter{}, `{"organizationId":""}`},
		{incident.IncidentPage{Incidents: []incident.Incident{}}, `{"incidents":[]}`},
		{incident.ActivityPage{Activities: []incident.Activity{}}, `{"activities":[]}`},
		{incident.ParkedPage{Notifications: []incident.ParkedNotification{}}, `{"notifications":[]}`},
		{incident.IncidentPage{Incidents: []incident.Incident{}, Next: "n", Previous: "p"}, `{"incidents":[],"next":"n","previous":"p"}`},
		{incident.ActivityPage{Activities: []incident.Activity{}, Next: "n"}, `{"activities":[],"next":"n"}`},
		{incident.ParkedPage{Notifications: []incident.ParkedNotification{}, Next: "n"}, `{"notifications":[],"next":"n"}`},
	} {
		if got, err := json.Marshal(c.value); err != nil || string(got) != c.want {
			t.Errorf("%T is %s, %v\nwant %s", c.value, got, err, c.want)
		}
	}
}

// A new field of a parameter or a page needs a name in JSON.
func TestWire_everyFieldHasAName(t *testing.T) {
	values := []any{incident.IncidentPage{}, incident.ActivityPage{}, incident.ParkedPage{}, incident.ProjectAccess{}, incident.Slot{}}
	for _, c := range inputs() {
		values = append(values, c.value)
	}
	for _, value := range values {
		kind := reflect.TypeOf(value)
		for i := range kind.NumField() {
			if f := kind.Field(i); !f.Anonymous && f.Tag.Get("json") == "" {
				t.Errorf("%s.%s has no name in JSON", kind.Name(), f.Name)
			}
		}
	}
}

// An error names a field of a parameter as JSON does, and an argument of a call by its own name.
func TestWire_errorsNameFieldsAsJSONDoes(t *testing.T) {
	names := map[string]bool{"identifier": true, "ctx": true, "fn": true, "keys": true, "edit": true}
	for _, c := range inputs() {
		kind := reflect.TypeOf(c.value)
		for _, f := range reflect.VisibleFields(kind) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names[name] = true
		}
	}
	for _, bad := range slices.Concat(idInputs(), textInputs(), dateInputs(), numberInputs(), operationInputs(), operationDates()) {
		if !names[bad.field] {
			t.Errorf("%s: an error names %s, which no parameter is called in JSON", bad.name, bad.field)
		}
	}
}
