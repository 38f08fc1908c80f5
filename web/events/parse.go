package events

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// The values of event_action.
const (
	actionTrigger     = "trigger"
	actionAcknowledge = "acknowledge"
	actionResolve     = "resolve"
)

// severities has the status of each severity. PagerDuty has no severity without a page, as
// [incident.StatusOpen] would be.
var severities = map[string]incident.Status{
	"critical": incident.StatusCritical,
	"error":    incident.StatusCritical,
	"warning":  incident.StatusWarning,
	"info":     incident.StatusWarning,
}

// text is a JSON value that should be a string. A number or a boolean is its own text.
type text struct {
	value string
	wrong bool // an object or an array
}

// UnmarshalJSON never fails, so that a field without importance spoils no event.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = text{}
	switch data[0] {
	case '"':
		return json.Unmarshal(data, &t.value)
	case '{', '[':
		t.wrong = true
	case 'n': // null
	default:
		t.value = string(data)
	}
	return nil
}

// message is the body of a request. Fields without importance are decoded later.
type message struct {
	RoutingKey  text            `json:"routing_key"`
	EventAction text            `json:"event_action"`
	DedupKey    text            `json:"dedup_key"`
	Client      text            `json:"client"`
	ClientURL   text            `json:"client_url"`
	Links       json.RawMessage `json:"links"`
	Images      json.RawMessage `json:"images"`
	Payload     json.RawMessage `json:"payload"`
}

// payload is the description of a trigger. Other actions may have one.
type payload struct {
	Summary       text            `json:"summary"`
	Source        text            `json:"source"`
	Severity      text            `json:"severity"`
	Timestamp     text            `json:"timestamp"`
	Component     text            `json:"component"`
	Group         text            `json:"group"`
	Class         text            `json:"class"`
	CustomDetails json.RawMessage `json:"custom_details"`
}

// event is a valid event.
type event struct {
	action   string
	dedupKey string

	// stamp is the timestamp as text, or empty if it names no instant. at is its time.
	stamp string
	at    time.Time

	// Of a trigger.
	title               string
	severity            incident.Status
	labels, annotations map[string]string
	cut                 bool // something had no room, or was unusable
}

var errNoObject = errors.New("the body must be a JSON object")

// decode decodes a body. It ignores unknown fields.
func decode(body []byte) (m message, err error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return m, errNoObject
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, errNoObject
	}
	return m, nil
}

// problems collects the errors of an event.
type problems []string

func (p *problems) add(field, problem string) { *p = append(*p, "'"+field+"' "+problem) }

// parse validates a message of a route. Problems name fields, and have no values.
func parse(m *message, r *Route) (e event, p problems) {
	e.action = p.required("event_action", m.EventAction)
	if e.action != "" && !slices.Contains([]string{actionTrigger, actionAcknowledge, actionResolve}, e.action) {
		p.add("event_action", "must be trigger, acknowledge or resolve")
	}
	var about payload
	given := len(m.Payload) > 0 && string(m.Payload) != "null"
	if given && (m.Payload[0] != '{' || json.Unmarshal(m.Payload, &about) != nil) {
		p.add("payload", "must be an object")
		return e, p
	}
	e.stampOf(&about, &p)
	if m.DedupKey.wrong {
		p.add("dedup_key", "must be a string")
	}
	e.dedupKey = m.DedupKey.value
	switch {
	case e.action == actionTrigger && !given:
		p.add("payload", "is missing")
	case e.action == actionTrigger:
		e.describe(m, &about, &p)
		if e.dedupKey == "" {
			e.dedupKey = madeKey(m, r)
		}
	case e.dedupKey == "":
		_ = p.required("dedup_key", m.DedupKey)
	}
	return e, p
}

// required returns the value of a field that must not be blank.
func (p *problems) required(field string, t text) string {
	switch {
	case t.wrong:
		p.add(field, "must be a string")
	case strings.TrimSpace(t.value) == "":
		p.add(field, "is missing or blank")
	default:
		return t.value
	}
	return ""
}

// stampOf reads the timestamp.
func (e *event) stampOf(about *payload, p *problems) {
	t := about.Timestamp
	if strings.TrimSpace(t.value) == "" && !t.wrong {
		return
	}
	at, err := parseTimestamp(t.value)
	if t.wrong || err != nil {
		p.add("payload.timestamp", errTimestamp.Error())
		return
	}
	if e.at = at; !at.IsZero() {
		e.stamp = at.Format(time.RFC3339Nano)
	}
}

// describe reads the description of a trigger.
func (e *event) describe(m *message, about *payload, p *problems) {
	if summary := p.required("payload.summary", about.Summary); summary != "" {
		if e.title = incident.NormalizeTitle(summary); e.title == "" {
			p.add("payload.summary", "has no visible character")
		}
	}
	_ = p.required("payload.source", about.Source)
	if name := p.required("payload.severity", about.Severity); name != "" {
		var known bool
		if e.severity, known = severities[strings.ToLower(strings.TrimSpace(name))]; !known {
			p.add("payload.severity", "must be critical, error, warning or info")
		}
	}
	var cut bool
	e.labels, cut = labelsOf(about)
	e.annotations, e.cut = annotationsOf(m, about)
	e.cut = e.cut || cut || e.title != about.Summary.value
}

// madeKey returns the dedup_key of a trigger that has none: a hash of all fields but the routing key,
// so that a repeated trigger has the same, and of its slot. It is as long as PagerDuty's.
func madeKey(m *message, r *Route) string {
	slot := r.Slot("")
	hash := hashOf("dedup_key", string(slot.OrganizationID), string(slot.AlertRuleID), string(slot.ProjectID),
		m.Client.value, m.ClientURL.value, string(m.Links), string(m.Images), string(m.Payload))
	return hex.EncodeToString(hash[:16])
}
