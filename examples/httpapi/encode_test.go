package main

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The encoder writes exactly the bytes of encoding/json.
func TestEncoder_equalsEncodingJSON(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	for range 2000 {
		d := &details{
			Details: incident.Details{
				Incident: r.incident(), Triggers: listOf(r, r.trigger), SeenBy: listOf(r, r.seen), HasSeen: r.coin(), IsSubscribed: r.coin(),
			},
			Activities: listOf(r, r.activity),
		}
		incidents, activities := incidentList(listOf(r, r.incident)), activityList(d.Activities)
		for _, value := range []appender{d, incidents, activities} {
			want, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			e := new(encoder)
			value.appendJSON(e)
			if string(e.b) != string(want) {
				t.Fatalf("%T is written as\n%s\nencoding/json writes\n%s", value, e.b, want)
			}
		}
	}
}

// random returns values with arbitrary fields.
type random struct{ *rand.Rand }

func listOf[T any](r random, one func() T) []T {
	list := []T{}
	for range r.IntN(4) {
		list = append(list, one())
	}
	return list
}

func (r random) coin() bool { return r.IntN(2) == 0 }

func (r random) text() string {
	parts := []string{
		"", "x", "checkout", "é", "\u2028", "\u2029", "\ufffd", "\xff", "😀", "<", ">", "&", `"`, `\`, "\n\t", "\x00", "\x1b", "\x7f", "~", " ", "\b\f\r",
	}
	return parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))]
}

func (r random) id() (id uuid.UUID) {
	if r.coin() {
		for i := range id {
			id[i] = byte(r.Uint32())
		}
	}
	return id
}

func (r random) date() time.Time {
	digits := []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond, time.Microsecond}[r.IntN(4)]
	return time.UnixMicro(r.Int64N(253402300800_000000)).UTC().Truncate(digits)
}

func (r random) optionalDate() *time.Time {
	if r.coin() {
		return nil
	}
	date := r.date()
	return &date
}

func (r random) key() incident.Key {
	return incident.Key{OrganizationID: incident.OrganizationID(r.text()), Identifier: r.Int64()}
}

func (r random) incident() incident.Incident {
	return incident.Incident{
		OrganizationID: incident.OrganizationID(r.text()), Identifier: r.Int64(), Title: r.text(), Type: incident.Type(r.IntN(3)),
		Status: incident.Status(r.IntN(21)), StatusMethod: incident.StatusMethod(r.IntN(4)), AlertRuleID: incident.AlertRuleID(r.text()),
		QueryID: incident.QueryID(r.text()), DetectionUUID: r.id(),
		Projects:    listOf(r, func() incident.ProjectID { return incident.ProjectID(r.text()) }),
		DateStarted: r.date(), DateDetected: r.date(), DateAdded: r.date(), DateClosed: r.optionalDate(), Version: r.Int64(),
		Response: r.response(), Labels: r.labels(), Annotations: r.labels(), DuplicateOf: r.Int64() * int64(r.IntN(2)),
	}
}

func (r random) response() *incident.Response {
	if r.coin() {
		return nil
	}
	return &incident.Response{
		Assignee: incident.UserID(r.text()), AcknowledgedBy: incident.UserID(r.text()), DateAcknowledged: r.optionalDate(),
		AcknowledgedUntil: r.optionalDate(), AcknowledgedStatus: incident.Status(r.IntN(2)),
	}
}

func (r random) labels() map[string]string {
	if r.coin() {
		return nil
	}
	labels := map[string]string{}
	for range r.IntN(3) {
		labels[r.text()] = r.text()
	}
	return labels
}

func (r random) trigger() incident.Trigger {
	return incident.Trigger{
		Incident: r.key(), TriggerID: incident.TriggerID(r.text()), Status: incident.TriggerStatus(r.IntN(2)),
		Severity: incident.Status(r.IntN(21)), DateAdded: r.date(), DateModified: r.date(),
	}
}

func (r random) seen() incident.Seen {
	return incident.Seen{Incident: r.key(), UserID: incident.UserID(r.text()), LastSeen: r.date()}
}

func (r random) activity() incident.Activity {
	return incident.Activity{
		Incident: r.key(), Sequence: r.Int64(), Type: incident.ActivityType(r.IntN(5)), UserID: incident.UserID(r.text()),
		Value: incident.Status(r.IntN(21) * r.IntN(2)), PreviousValue: incident.Status(r.IntN(21) * r.IntN(2)), Comment: r.text(),
		TriggerID: incident.TriggerID(r.text()), Field: r.text(), Old: r.text(), New: r.text(),
		NotificationUUID: r.id(), DateAdded: r.date(), DateEdited: r.optionalDate(), DateDeleted: r.optionalDate(), Revision: r.Int64(),
	}
}
