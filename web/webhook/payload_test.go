package webhook

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Each activity has an event type of its own, in the characters that the standard allows,
// and the body is still the notification.
func TestEncode_addsTypeAndTimestamp(t *testing.T) {
	seen := map[string]bool{}
	for activity := incident.ActivityType(1); activity <= 110; activity++ {
		n := note()
		n.Activity.Type = activity
		body, err := encode(n)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Type, Timestamp string }
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		known := !strings.HasPrefix(activity.String(), "ActivityType(")
		if seen[got.Type] && known || known != (got.Type != "incident.activity") || !regexp.MustCompile(`^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)+$`).MatchString(got.Type) {
			t.Errorf("%v has the type %q", activity, got.Type)
		}
		seen[got.Type] = true
		if got.Timestamp != "2026-03-14T02:31:00Z" {
			t.Errorf("%v has the timestamp %s", activity, got.Timestamp)
		}
		plain, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"type":%q,"timestamp":%q,%s`, got.Type, got.Timestamp, plain[1:]); string(body) != want {
			t.Errorf("%v is\n%s, want\n%s", activity, body, want)
		}
		back, refused := decode(n.Activity.NotificationUUID.String(), body)
		if refused != nil || !reflect.DeepEqual(back, n) {
			t.Errorf("%v is read back as %+v, %v", activity, back, refused)
		}
	}
}

// The body of a reminder is the notification, with an event type and the time at which the
// reminder was due.
func TestEncode_hasReminders(t *testing.T) {
	n := note()
	n.Activity = incident.Activity{}
	n.Reminder = &incident.Reminder{
		Name: "unacknowledged", At: now, Status: incident.StatusWarning, Unless: incident.UnlessAcknowledged,
		NotificationUUID: uuid.MustParse("33333333-3333-3333-3333-333333333333"),
	}
	body, err := encode(n)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"type":"incident.reminder","timestamp":"2026-03-14T02:31:00Z","reminder":{`; !strings.HasPrefix(string(body), want) {
		t.Errorf("the body is %s, want it to begin with %s", body, want)
	}
	back, refused := decode(n.UUID().String(), body)
	if refused != nil || !reflect.DeepEqual(back, n) {
		t.Errorf("it is read back as %+v, %v", back, refused)
	}
	if _, refused := decode(note().UUID().String(), body); refused == nil {
		t.Error("it is accepted with the UUID of another notification")
	}
}
