package managertest

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// same compares two values of a type that a call returns. Times are equal only in the
// same zone and without a monotonic part. Nil and empty slices are equal, as in the
// contract.
func same(a, b any) bool {
	switch a := a.(type) {
	case incident.Result:
		b, ok := b.(incident.Result)
		return ok && a.Changed == b.Changed && sameIncident(a.Incident, b.Incident)
	case incident.Incident:
		b, ok := b.(incident.Incident)
		return ok && sameIncident(a, b)
	case activeAnswer:
		b, ok := b.(activeAnswer)
		return ok && a.OK == b.OK && sameIncident(a.Incident, b.Incident)
	case incident.Details:
		b, ok := b.(incident.Details)
		return ok && a.HasSeen == b.HasSeen && a.IsSubscribed == b.IsSubscribed &&
			sameIncident(a.Incident, b.Incident) &&
			slices.Equal(a.Triggers, b.Triggers) && slices.Equal(a.SeenBy, b.SeenBy)
	case incident.Activity:
		b, ok := b.(incident.Activity)
		return ok && sameActivity(a, b)
	case []incident.Incident:
		b, ok := b.([]incident.Incident)
		return ok && slices.EqualFunc(a, b, sameIncident)
	case []incident.Trigger:
		b, ok := b.([]incident.Trigger)
		return ok && slices.Equal(a, b)
	case []incident.Seen:
		b, ok := b.([]incident.Seen)
		return ok && slices.Equal(a, b)
	case []incident.Subscription:
		b, ok := b.([]incident.Subscription)
		return ok && slices.Equal(a, b)
	}
	return reflect.DeepEqual(a, b)
}

func sameIncident(a, b incident.Incident) bool {
	return a.OrganizationID == b.OrganizationID && a.Identifier == b.Identifier && a.Title == b.Title &&
		a.Type == b.Type && a.Status == b.Status && a.StatusMethod == b.StatusMethod &&
		a.AlertRuleID == b.AlertRuleID && a.QueryID == b.QueryID && a.DetectionUUID == b.DetectionUUID &&
		slices.Equal(a.Projects, b.Projects) &&
		a.DateStarted == b.DateStarted && a.DateDetected == b.DateDetected && a.DateAdded == b.DateAdded &&
		sameTime(a.DateClosed, b.DateClosed) && a.Version == b.Version &&
		sameResponse(a.Response, b.Response) && a.DuplicateOf == b.DuplicateOf &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

func sameResponse(a, b *incident.Response) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Assignee == b.Assignee && a.AcknowledgedBy == b.AcknowledgedBy && a.AcknowledgedStatus == b.AcknowledgedStatus &&
		sameTime(a.DateAcknowledged, b.DateAcknowledged) && sameTime(a.AcknowledgedUntil, b.AcknowledgedUntil)
}

func sameActivity(a, b incident.Activity) bool {
	if !sameTime(a.DateEdited, b.DateEdited) || !sameTime(a.DateDeleted, b.DateDeleted) {
		return false
	}
	a.DateEdited, a.DateDeleted, b.DateEdited, b.DateDeleted = nil, nil, nil, nil
	return a == b
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// scribble overwrites all memory that a copy of v shares with v: the elements of slices
// up to their capacity, and the targets of pointers. If the library has kept any of it,
// the next read is wrong.
func scribble(v any) {
	switch v := v.(type) {
	case incident.Result:
		spoilIncident(&v.Incident)
	case incident.Incident:
		spoilIncident(&v)
	case activeAnswer:
		spoilIncident(&v.Incident)
	case incident.Details:
		spoilIncident(&v.Incident)
		spoil(v.Triggers, nil)
		spoil(v.SeenBy, nil)
	case incident.Activity:
		spoilActivity(&v)
	case []incident.Incident:
		spoil(v, spoilIncident)
	case []incident.Activity:
		spoil(v, spoilActivity)
	case []incident.Trigger:
		spoil(v, nil)
	case []incident.Seen:
		spoil(v, nil)
	case []incident.Subscription:
		spoil(v, nil)
	case txAnswer:
		for _, value := range v.values {
			scribble(value)
		}
	case bulkAnswer:
		for _, value := range v.values {
			scribble(value)
		}
	}
}

func spoil[T any](list []T, each func(*T)) {
	list = list[:cap(list)]
	for i := range list {
		if each != nil {
			each(&list[i])
		}
		var none T
		list[i] = none
	}
}

func spoilIncident(inc *incident.Incident) {
	spoil(inc.Projects, nil)
	spoilTime(inc.DateClosed)
	for _, labels := range []map[string]string{inc.Labels, inc.Annotations} {
		for name := range labels {
			labels[name] = "spoilt"
		}
	}
	if inc.Response != nil {
		spoilTime(inc.Response.DateAcknowledged)
		spoilTime(inc.Response.AcknowledgedUntil)
		*inc.Response = incident.Response{}
	}
}

func spoilActivity(a *incident.Activity) {
	spoilTime(a.DateEdited)
	spoilTime(a.DateDeleted)
}

func spoilTime(t *time.Time) {
	if t != nil {
		*t = time.Unix(1, 0)
	}
}
