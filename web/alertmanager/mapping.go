package alertmanager

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/incidentkit/incident"
)

// noSeverity is the trigger of an alert without a severity. No severity has this identifier.
const noSeverity = "#none"

// mapped maps an alert to a firing of the organization. The error is of type unusable. A panic of the
// host's Map concerns this alert alone.
func (h *Handler) mapped(org incident.OrganizationID, a *Alert) (f incident.Firing, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
		if err != nil {
			err = unusable{err}
		}
	}()
	f = h.mappedByDefault(a)
	if h.options.Map != nil {
		if err := h.options.Map(a, &f); err != nil {
			return f, err
		}
		f.Labels = withSource(f.Labels, h.options.Source)
	}
	if f.AlertRuleID == "" {
		return f, errNoName
	}
	f.OrganizationID, f.Date, f.Episode = org, a.StartsAt, true
	f.DetectionUUID = detectionOf(&f)
	return f, nil
}

// mappedByDefault maps an alert as without [Options.Map].
func (h *Handler) mappedByDefault(a *Alert) incident.Firing {
	o := &h.options
	severity := a.Labels[o.SeverityLabel]
	f := incident.Firing{
		Slot: incident.Slot{
			ProjectID: o.Project,
			QueryID:   incident.QueryID(queryOf(o.Source, a.Labels, o.SeverityLabel)),
		},
		TriggerID:    noSeverity,
		Severity:     o.OtherSeverity,
		Title:        titleOf(a),
		ReopenWithin: o.ReopenWithin,
	}
	if name := a.Labels["alertname"]; name != "" {
		f.AlertRuleID = incident.AlertRuleID(id(name))
	}
	if o.ProjectLabel != "" && a.Labels[o.ProjectLabel] != "" {
		f.ProjectID = incident.ProjectID(id(a.Labels[o.ProjectLabel]))
	}
	if severity != "" {
		f.TriggerID = incident.TriggerID(id(severity))
	}
	if status, known := o.Severities[strings.ToLower(severity)]; known {
		f.Severity = status
	}
	f.Labels = labelsOf(a, o.Source, "alertname", o.SeverityLabel, o.ProjectLabel)
	f.Annotations = annotationsOf(a)
	return f
}

var errNoName = errors.New("the alert has no alertname")

// id returns a text as an identifier: the text itself if it is accepted and does not begin with #,
// otherwise # and its hash.
func id(text string) string {
	if incident.IsID(text) && text[0] != '#' {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "#" + hex.EncodeToString(sum[:])
}

// queryOf returns the identifier of a label set: the hexadecimal SHA-256 of the source and of the
// labels in order of name, except the name of the alert and its severity. Each text is preceded by
// its length in 8 bytes, big-endian, so that no two label sets have the same sequence of bytes.
func queryOf(source string, labels map[string]string, severity string) string {
	var bytes []byte
	add := func(text string) {
		bytes = append(binary.BigEndian.AppendUint64(bytes, uint64(len(text))), text...)
	}
	add(source)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "alertname" && name != severity {
			add(name)
			add(labels[name])
		}
	}
	sum := sha256.Sum256(bytes)
	return hex.EncodeToString(sum[:])
}

// detectionOf returns the idempotency key of the incident that a firing opens: a hash of the slot,
// the trigger and the start of the episode. It is zero without a start.
func detectionOf(f *incident.Firing) (key [16]byte) {
	if f.Date.IsZero() {
		return key
	}
	var bytes []byte
	for _, text := range []string{
		string(f.AlertRuleID), string(f.ProjectID), string(f.QueryID), string(f.TriggerID), f.Date.UTC().Format(time.RFC3339Nano),
	} {
		bytes = append(binary.BigEndian.AppendUint64(bytes, uint64(len(text))), text...)
	}
	sum := sha256.Sum256(bytes)
	copy(key[:], sum[:])
	key[6], key[8] = key[6]&0x0f|0x80, key[8]&0x3f|0x80 // a UUID of version 8
	return key
}

// resolutionOf returns the resolution of an alert with a firing f. An end before the start of the
// episode would be outdated by it.
func resolutionOf(f *incident.Firing, a *Alert) incident.Resolution {
	r := incident.Resolution{Slot: f.Slot, TriggerID: f.TriggerID, Date: a.EndsAt}
	if !r.Date.IsZero() && r.Date.Before(a.StartsAt) {
		r.Date = a.StartsAt
	}
	return r
}

// titleOf returns the title of an incident: the annotation summary or title, or the name of the
// alert.
func titleOf(a *Alert) string {
	for _, text := range []string{a.Annotations["summary"], a.Annotations["title"], a.Labels["alertname"]} {
		text = strings.Join(strings.Fields(strings.Map(withoutDirection, strings.ToValidUTF8(text, "\uFFFD"))), " ")
		if text = incident.NormalizeTitle(text); text != "" {
			return text
		}
	}
	return "Alert"
}

// withoutDirection removes the characters that embed or override the direction of a text: they
// could change how the text after the title is read.
func withoutDirection(r rune) rune {
	switch {
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return -1
	case unicode.IsControl(r):
		return ' '
	}
	return r
}

// byName returns the names of values: first those of first, then the others in order.
func byName(values map[string]string, first ...string) []string {
	names := slices.Collect(maps.Keys(values))
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return names
}
