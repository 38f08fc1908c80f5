package webhook

import (
	"encoding/json"
	"time"

	"github.com/incidentkit/incident"
)

// eventTypes are the event types of the activities, as the standard writes them.
var eventTypes = map[incident.ActivityType]string{
	incident.ActivityTypeDetected:     "incident.detected",
	incident.ActivityTypeCreated:      "incident.created",
	incident.ActivityTypeStatusChange: "incident.status_change",
	incident.ActivityTypeComment:      "incident.comment",
}

// encode returns the body of a delivery: the notification, and the members that the
// standard recommends beside it. A [Receiver] ignores those.
func encode(n incident.Notification) ([]byte, error) {
	eventType, known := eventTypes[n.Activity.Type]
	if !known {
		eventType = "incident.activity" // of a later version of the library
	}
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"` // of the activity, not of the attempt
		incident.Notification
	}{eventType, n.Activity.DateAdded, n})
}
