package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"time"

	"github.com/incidentkit/incident"
)

// optionalFields is the JSON in incident.optional: the fields that most incidents lack.
type optionalFields struct {
	Response    *storedResponse   `json:"response,omitzero"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	DuplicateOf int64             `json:"duplicateOf,omitzero"`
}

// storedResponse is an [incident.Response] with the names that the conditions of lists use, and
// with times in microseconds.
type storedResponse struct {
	Assignee           incident.UserID `json:"assignee,omitzero"`
	AcknowledgedBy     incident.UserID `json:"by,omitzero"`
	DateAcknowledged   *int64          `json:"at,omitzero"`
	AcknowledgedUntil  *int64          `json:"until,omitzero"`
	AcknowledgedStatus incident.Status `json:"status,omitzero"`
}

// optionalOf returns the value of incident.optional: NULL if inc has none of the fields.
func optionalOf(inc *incident.Incident) any {
	if inc.Response == nil && len(inc.Labels) == 0 && len(inc.Annotations) == 0 && inc.DuplicateOf == 0 {
		return nil
	}
	fields := optionalFields{Labels: inc.Labels, Annotations: inc.Annotations, DuplicateOf: inc.DuplicateOf}
	if r := inc.Response; r != nil {
		fields.Response = &storedResponse{
			Assignee: r.Assignee, AcknowledgedBy: r.AcknowledgedBy, AcknowledgedStatus: r.AcknowledgedStatus,
			DateAcknowledged: microOf(r.DateAcknowledged), AcknowledgedUntil: microOf(r.AcknowledgedUntil),
		}
	}
	return jsonOf(fields)
}

func microOf(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	return new(t.UnixMicro())
}

func optionalTimeOf(micro *int64) *time.Time {
	if micro == nil {
		return nil
	}
	return new(timeOf(*micro))
}

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // every value of the package's types has a JSON
	}
	return string(text)
}

// optional scans incident.optional. It decodes the value once, although each row of an incident
// with triggers repeats it.
func optional(inc *incident.Incident) column {
	var decoded string
	return func(src driver.Value) error {
		encoded, ok := src.(string)
		switch {
		case !ok:
			return unexpected(src, "JSON")
		case encoded == decoded:
			return nil
		}
		decoded = encoded
		var fields optionalFields
		if err := json.Unmarshal([]byte(encoded), &fields); err != nil {
			return err
		}
		inc.Labels, inc.Annotations, inc.DuplicateOf = fields.Labels, fields.Annotations, fields.DuplicateOf
		if r := fields.Response; r != nil {
			inc.Response = &incident.Response{
				Assignee: r.Assignee, AcknowledgedBy: r.AcknowledgedBy, AcknowledgedStatus: r.AcknowledgedStatus,
				DateAcknowledged: optionalTimeOf(r.DateAcknowledged), AcknowledgedUntil: optionalTimeOf(r.AcknowledgedUntil),
			}
		}
		return nil
	}
}

// assigneeOf returns the assignee of inc. Empty for nobody.
func assigneeOf(inc *incident.Incident) incident.UserID {
	if inc.Response == nil {
		return ""
	}
	return inc.Response.Assignee
}
