package incident_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// A log has keys and labels as texts, in each format.
func TestLogValue_isReadable(t *testing.T) {
	inc := incident.Incident{
		OrganizationID: "acme", Identifier: 42, Title: "Ada's phone is 555", Status: incident.StatusClosed, StatusMethod: incident.StatusMethodManual,
		Labels: map[string]string{"customer": "secret"}, Annotations: map[string]string{"note": "secret"},
		Response: &incident.Response{Assignee: "secret"}, Version: 3,
	}
	args := []any{
		"key", inc.Key(), "status", incident.StatusWarning, "method", incident.StatusMethodRuleUpdated, "type", incident.TypeAlertTriggered,
		"trigger", incident.TriggerStatusResolved, "activity", incident.ActivityTypeAssigned, "unknown", incident.Status(7),
		"incident", inc, "result",
		incident.Result{Incident: inc},
	}
	const group = `{"key":"acme#42","type":"Detected","status":"Resolved","statusMethod":"Manual","version":3}`
	const want = `"key":"acme#42","status":"Warning","method":"RuleUpdated","type":"AlertTriggered","trigger":"Resolved",` +
		`"activity":"Assigned","unknown":"Status(7)","incident":` + group + `,"result":` + group + "}\n"
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", args...)
	if !json.Valid(out.Bytes()) || !strings.HasSuffix(out.String(), want) {
		t.Errorf("the record is %s\nwant the end %s", out.String(), want)
	}
	out.Reset()
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", args...)
	if got := out.String(); !strings.Contains(got, "incident.key=acme#42 ") || !strings.Contains(got, " status=Warning ") || strings.Contains(got, "secret") || strings.Contains(got, "phone") {
		t.Errorf("the record is %s", got)
	}
}
