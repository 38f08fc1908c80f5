package managertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// describe shows a value in the same way whenever it is run again, so that a
// failure can be recognised: without addresses and random identifiers.
func describe(v any) string {
	changed := ""
	switch r := v.(type) {
	case incident.Result:
		changed = fmt.Sprintf("changed=%t ", r.Changed)
	case incident.Activity:
		v = recognisable(r)
	case []incident.Activity:
		shown := slices.Clone(r)
		for i := range shown {
			shown[i] = recognisable(shown[i])
		}
		v = shown
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%s%+v", changed, v)
	}
	return changed + strings.TrimSpace(string(b))
}

func recognisable(a incident.Activity) incident.Activity {
	if a.NotificationUUID[0] != notificationUUIDs[0][0] && a.NotificationUUID != uuid.Nil {
		a.NotificationUUID = uuid.Max
	}
	return a
}
