package managertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// describe formats a value the same way in every run, without addresses and random UUIDs,
// so that a failure can be recognized.
func describe(v any) string {
	changed := ""
	switch r := v.(type) {
	case incident.Result:
		changed = fmt.Sprintf("changed=%t ", r.Changed)
	case incident.Activity:
		v = withStableUUID(r)
	case []incident.Activity:
		shown := slices.Clone(r)
		for i := range shown {
			shown[i] = withStableUUID(shown[i])
		}
		v = shown
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%s%+v", changed, v)
	}
	return changed + strings.TrimSpace(string(b))
}

// withStableUUID replaces a UUID that the library generated.
func withStableUUID(a incident.Activity) incident.Activity {
	if a.NotificationUUID[0] != notificationUUIDs[0][0] && a.NotificationUUID != uuid.Nil {
		a.NotificationUUID = uuid.Max
	}
	return a
}
