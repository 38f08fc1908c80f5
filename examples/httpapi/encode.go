package main

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/incidentkit/incident"
)

// Details and lists are the most frequent responses. encoding/json takes half of a
// handler's time for them, and dates half of that. So they are encoded here, with exactly
// the same bytes. encoding/json encodes all other responses.

// appender is a response that encodes itself.
type appender interface{ appendJSON(e *encoder) }

type incidentList []incident.Incident

func (list incidentList) appendJSON(e *encoder) {
	appendList(e, "[", list, func(inc *incident.Incident) { e.incident(inc); e.raw("}") })
}

type activityList []incident.Activity

func (list activityList) appendJSON(e *encoder) { appendList(e, "[", list, e.activity) }

func (d *details) appendJSON(e *encoder) {
	e.incident(&d.Incident)
	appendList(e, `,"triggers":[`, d.Triggers, e.trigger)
	appendList(e, `,"seenBy":[`, d.SeenBy, e.seen)
	e.raw(`,"hasSeen":`)
	e.b = strconv.AppendBool(e.b, d.HasSeen)
	e.raw(`,"isSubscribed":`)
	e.b = strconv.AppendBool(e.b, d.IsSubscribed)
	appendList(e, `,"activities":[`, d.Activities, e.activity)
	e.raw("}")
}

// encoder appends JSON. Its methods take the text to write before the value.
type encoder struct{ b []byte }

// incident leaves the object open.
func (e *encoder) incident(inc *incident.Incident) {
	e.text(`{"organizationId":`, string(inc.OrganizationID))
	e.number(`,"identifier":"`, inc.Identifier)
	e.text(`","title":`, inc.Title)
	e.number(`,"type":`, int64(inc.Type))
	e.number(`,"status":`, int64(inc.Status))
	e.number(`,"statusMethod":`, int64(inc.StatusMethod))
	e.text(`,"alertRule":`, string(inc.AlertRuleID))
	e.text(`,"query":`, string(inc.QueryID))
	if inc.DetectionUUID != [16]byte{} {
		e.text(`,"detectionUuid":`, inc.DetectionUUID.String())
	}
	appendList(e, `,"projects":[`, inc.Projects, func(p *incident.ProjectID) { e.text("", string(*p)) })
	e.date(`,"dateStarted":`, &inc.DateStarted)
	e.date(`,"dateDetected":`, &inc.DateDetected)
	e.date(`,"dateCreated":`, &inc.DateAdded)
	e.date(`,"dateClosed":`, inc.DateClosed)
	e.number(`,"version":`, inc.Version)
	if inc.Response != nil {
		e.value(`,"response":`, inc.Response)
	}
	if inc.Labels != nil {
		e.value(`,"labels":`, inc.Labels)
	}
	if inc.Annotations != nil {
		e.value(`,"annotations":`, inc.Annotations)
	}
	if inc.DuplicateOf != 0 {
		e.number(`,"duplicateOf":"`, inc.DuplicateOf)
		e.raw(`"`)
	}
}

func (e *encoder) activity(a *incident.Activity) {
	e.key(a.Incident)
	e.number(`,"id":"`, a.Sequence)
	e.number(`","type":`, int64(a.Type))
	e.text(`,"user":`, string(a.UserID))
	if a.Value != 0 {
		e.number(`,"value":"`, int64(a.Value))
		e.raw(`"`)
	}
	if a.PreviousValue != 0 {
		e.number(`,"previousValue":"`, int64(a.PreviousValue))
		e.raw(`"`)
	}
	e.optional(`,"alertRuleTrigger":`, string(a.TriggerID))
	e.optional(`,"field":`, a.Field)
	e.optional(`,"old":`, a.Old)
	e.optional(`,"new":`, a.New)
	e.text(`,"comment":`, a.Comment)
	e.text(`,"notificationUuid":`, a.NotificationUUID.String())
	e.date(`,"dateCreated":`, &a.DateAdded)
	e.date(`,"dateEdited":`, a.DateEdited)
	e.date(`,"dateDeleted":`, a.DateDeleted)
	e.number(`,"revision":`, a.Revision)
	e.raw("}")
}

func (e *encoder) trigger(t *incident.Trigger) {
	e.key(t.Incident)
	e.text(`,"alertRuleTrigger":`, string(t.TriggerID))
	e.number(`,"status":`, int64(t.Status))
	e.number(`,"severity":`, int64(t.Severity))
	e.date(`,"dateCreated":`, &t.DateAdded)
	e.date(`,"dateModified":`, &t.DateModified)
	e.raw("}")
}

func (e *encoder) seen(s *incident.Seen) {
	e.key(s.Incident)
	e.text(`,"userId":`, string(s.UserID))
	e.date(`,"lastSeen":`, &s.LastSeen)
	e.raw("}")
}

// key begins an object with the incident that it belongs to.
func (e *encoder) key(k incident.Key) {
	e.text(`{"incident":{"organizationId":`, string(k.OrganizationID))
	e.number(`,"identifier":"`, k.Identifier)
	e.raw(`"}`)
}

func appendList[T any](e *encoder, before string, list []T, element func(*T)) {
	e.raw(before)
	for i := range list {
		if i > 0 {
			e.raw(",")
		}
		element(&list[i])
	}
	e.raw("]")
}

func (e *encoder) raw(text string) { e.b = append(e.b, text...) }

func (e *encoder) number(before string, n int64) {
	e.b = strconv.AppendInt(append(e.b, before...), n, 10)
}

// date appends a date, or null for nil.
func (e *encoder) date(before string, t *time.Time) {
	e.raw(before)
	if t == nil {
		e.raw("null")
		return
	}
	e.b = append(t.AppendFormat(append(e.b, '"'), time.RFC3339Nano), '"')
}

// value appends a value that is too rare for an encoding of its own.
func (e *encoder) value(before string, v any) {
	encoded, _ := json.Marshal(v) // cannot fail for the values of an incident
	e.b = append(append(e.b, before...), encoded...)
}

// optional appends a string unless it is empty.
func (e *encoder) optional(before, s string) {
	if s != "" {
		e.text(before, s)
	}
}

// text appends a string. It copies printable ASCII without a meaning in HTML, and leaves
// the rest to encoding/json.
func (e *encoder) text(before, s string) {
	e.raw(before)
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, _ := json.Marshal(s) // cannot fail for a string
			e.b = append(e.b, quoted...)
			return
		}
	}
	e.b = append(append(append(e.b, '"'), s...), '"')
}
