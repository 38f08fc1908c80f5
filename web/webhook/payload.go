package webhook

import (
	"encoding/json"
	"time"

	"github.com/incidentkit/incident"
)

// eventTypes has the event type of each activity, in the characters of the standard.
var eventTypes = map[incident.ActivityType]string{
	incident.ActivityTypeDetected:     "incident.detected",
	incident.ActivityTypeCreated:      "incident.created",
	incident.ActivityTypeStatusChange: "incident.status_change",
	incident.ActivityTypeComment:      "incident.comment",

	incident.ActivityTypeAcknowledged:    "incident.acknowledged",
	incident.ActivityTypeUnacknowledged:  "incident.unacknowledged",
	incident.ActivityTypeAssigned:        "incident.assigned",
	incident.ActivityTypeEdited:          "incident.edited",
	incident.ActivityTypeTriggerFired:    "incident.trigger_fired",
	incident.ActivityTypeTriggerResolved: "incident.trigger_resolved",
	incident.ActivityTypeProjectLinked:   "incident.project_linked",
	incident.ActivityTypeProjectUnlinked: "incident.project_unlinked",
	incident.ActivityTypeMarkedDuplicate: "incident.marked_duplicate",
}

// eventOf returns the event type of a notification, and when the event was.
func eventOf(n *incident.Notification) (eventType string, at time.Time) {
	if n.Reminder != nil {
		return "incident.reminder", n.Reminder.At
	}
	eventType, known := eventTypes[n.Activity.Type]
	if !known {
		eventType = "incident.activity" // of a later version of the library
	}
	return eventType, n.Activity.DateAdded
}

// encode returns the body of a delivery: the notification, and the members that the
// standard recommends beside it. A [Receiver] ignores those.
func encode(n incident.Notification) ([]byte, error) {
	eventType, at := eventOf(&n)
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"` // of the event, not of the attempt
		incident.Notification
	}{eventType, at, n})
}
