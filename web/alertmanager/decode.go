package alertmanager

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/incidentkit/incident"
)

// The statuses of an [Alert].
const (
	StatusFiring   = "firing"
	StatusResolved = "resolved"
)

// Alert is an alert of a webhook, or of a [Snapshot].
type Alert struct {
	// Status is [StatusFiring] or [StatusResolved]. Each alert of a group has its own.
	Status string

	// Labels identify the alert. Labels without a value are left out.
	Labels map[string]string

	// Annotations describe the alert, and may change while it is firing.
	Annotations map[string]string

	// StartsAt is the start of the alert's episode, and EndsAt the end of a resolved alert.
	// Zero for none.
	StartsAt, EndsAt time.Time

	// GeneratorURL, ExternalURL and those of Grafana are links of the sender, unchecked. Empty
	// for none.
	GeneratorURL, ExternalURL                    string
	SilenceURL, DashboardURL, PanelURL, ImageURL string
}

// group is a webhook. Its groupKey, groupLabels and status say nothing about single alerts, and are
// not decoded: with max_alerts, a group is "resolved" although an alert is firing that was cut off.
type group struct {
	alerts      json.RawMessage // a list
	externalURL string
	truncated   uint64
}

// decodeGroup returns the webhook of a body. Unknown fields are ignored, and of equal names the last
// counts. The error is a [*incident.FieldError], and contains nothing of the body.
func decodeGroup(body []byte) (*group, error) {
	if !json.Valid(body) {
		return nil, bad("body", "must be JSON")
	}
	var top struct {
		Version         json.RawMessage `json:"version"`
		Alerts          json.RawMessage `json:"alerts"`
		ExternalURL     loose           `json:"externalURL"`
		TruncatedAlerts json.RawMessage `json:"truncatedAlerts"`
	}
	if err := json.Unmarshal(body, &top); err != nil {
		return nil, bad("body", "must be a JSON object")
	}
	switch string(top.Version) {
	case "", "null", `"4"`, `"1"`: // Grafana sends 1
	default:
		return nil, bad("version", `must be "4", or Grafana's "1"`)
	}
	switch alerts := bytes.TrimLeft(top.Alerts, " \t\r\n"); {
	case len(alerts) == 0:
		return nil, bad("alerts", "is required")
	case alerts[0] != '[':
		return nil, bad("alerts", "must be a list")
	}
	g := &group{alerts: top.Alerts, externalURL: string(top.ExternalURL)}
	_ = json.Unmarshal(top.TruncatedAlerts, &g.truncated) // only a statistic
	return g, nil
}

func bad(field, problem string) error {
	return &incident.FieldError{Field: field, Problem: problem}
}

// each calls fn for each alert, one at a time, so that few are in memory at once. An alert that is
// malformed has an error that contains nothing of the body. If fn returns false, each ends.
func (g *group) each(fn func(a *Alert, err error) bool) {
	d := json.NewDecoder(bytes.NewReader(g.alerts))
	if _, err := d.Token(); err != nil {
		return
	}
	var raw json.RawMessage
	for d.More() {
		if d.Decode(&raw) != nil { // cannot be: the body is valid
			return
		}
		a, err := decodeAlert(raw)
		if err == nil {
			a.ExternalURL = g.externalURL
		}
		if !fn(a, err) {
			return
		}
	}
}

// decodeAlert returns an alert of a webhook.
func decodeAlert(raw []byte) (*Alert, error) {
	var status struct {
		Status string `json:"status"`
	}
	a, err := decodeCommon(raw)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(raw, &status) != nil || status.Status != StatusFiring && status.Status != StatusResolved {
		return nil, bad("status", "must be firing or resolved")
	}
	a.Status = status.Status
	return a, nil
}

// decodeCommon decodes the fields that alerts of a webhook and of the API have in the same form.
// Only labels and dates must be well-formed: they identify the incident.
func decodeCommon(raw []byte) (*Alert, error) {
	if len(raw) > MaxAlertSize {
		return nil, bad("alert", "is too large")
	}
	var wire struct {
		Labels       json.RawMessage `json:"labels"`
		Annotations  json.RawMessage `json:"annotations"`
		StartsAt     json.RawMessage `json:"startsAt"`
		EndsAt       json.RawMessage `json:"endsAt"`
		GeneratorURL loose           `json:"generatorURL"`
		SilenceURL   loose           `json:"silenceURL"`
		DashboardURL loose           `json:"dashboardURL"`
		PanelURL     loose           `json:"panelURL"`
		ImageURL     loose           `json:"imageURL"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return nil, bad("alert", "must be an object")
	}
	a := &Alert{
		GeneratorURL: string(wire.GeneratorURL),
		SilenceURL:   string(wire.SilenceURL),
		DashboardURL: string(wire.DashboardURL),
		PanelURL:     string(wire.PanelURL),
		ImageURL:     string(wire.ImageURL),
	}
	if len(wire.Labels) == 0 || json.Unmarshal(wire.Labels, &a.Labels) != nil {
		return nil, bad("labels", "must be an object of strings")
	}
	for name, value := range a.Labels {
		if value == "" { // to Prometheus, an empty label is none
			delete(a.Labels, name)
		}
	}
	var annotations map[string]loose
	_ = json.Unmarshal(wire.Annotations, &annotations)
	if len(annotations) > 0 {
		a.Annotations = make(map[string]string, len(annotations))
	}
	for name, value := range annotations {
		if value != "" {
			a.Annotations[name] = string(value)
		}
	}
	var err error
	if a.StartsAt, err = decodeDate("startsAt", wire.StartsAt); err != nil {
		return nil, err
	}
	a.EndsAt, err = decodeDate("endsAt", wire.EndsAt)
	return a, err
}

// decodeDate returns a date, or the zero time if it is missing. Alertmanager sends Go's zero time, in
// the year 1, for none.
func decodeDate(field string, raw json.RawMessage) (t time.Time, err error) {
	if len(raw) == 0 {
		return t, nil
	}
	if json.Unmarshal(raw, &t) != nil {
		return time.Time{}, bad(field, "must be a date as in 2006-01-02T15:04:05Z")
	}
	if t.Year() <= 1 {
		return time.Time{}, nil
	}
	return t, nil
}

// loose is a string that is empty for any other kind of JSON.
type loose string

func (l *loose) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = ""
	}
	*l = loose(text)
	return nil
}
