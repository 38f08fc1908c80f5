package postgres

import (
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

// storedResponse is an [incident.Response] with the names that the conditions of lists use.
type storedResponse struct {
	Assignee           incident.UserID `json:"assignee,omitzero"`
	AcknowledgedBy     incident.UserID `json:"by,omitzero"`
	DateAcknowledged   *time.Time      `json:"at,omitzero"`
	AcknowledgedUntil  *time.Time      `json:"until,omitzero"`
	AcknowledgedStatus incident.Status `json:"status,omitzero"`
}

// optionalOf returns the value of incident.optional: NULL if inc has none of the fields.
func optionalOf(inc *incident.Incident) any {
	if inc.Response == nil && len(inc.Labels) == 0 && len(inc.Annotations) == 0 && inc.DuplicateOf == 0 {
		return nil
	}
	return jsonOf(optionalFields{(*storedResponse)(inc.Response), inc.Labels, inc.Annotations, inc.DuplicateOf})
}

func jsonOf(fields optionalFields) string {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // every value of these types has a JSON
	}
	return string(text)
}

// optional scans incident.optional. Each row of an incident with triggers repeats the value,
// which is decoded once.
func optional(inc *incident.Incident) *optionalColumn { return &optionalColumn{inc: inc} }

type optionalColumn struct {
	inc     *incident.Incident
	decoded string
}

// Scan implements [sql.Scanner].
func (c *optionalColumn) Scan(src any) error {
	var encoded string
	if err := text(&encoded).Scan(src); err != nil {
		return err
	}
	return c.decode(encoded)
}

// unpack skips the version of the format.
func (c *optionalColumn) unpack(value []byte) error {
	if len(value) == 0 || value[0] != 1 {
		return errPacked
	}
	return c.decode(string(value[1:]))
}

func (c *optionalColumn) decode(encoded string) error {
	if encoded == c.decoded {
		return nil
	}
	c.decoded = encoded
	var fields optionalFields
	if err := json.Unmarshal([]byte(encoded), &fields); err != nil {
		return err
	}
	inc := c.inc
	inc.Response = (*incident.Response)(fields.Response)
	inc.Labels, inc.Annotations, inc.DuplicateOf = fields.Labels, fields.Annotations, fields.DuplicateOf
	if r := inc.Response; r != nil {
		r.DateAcknowledged, r.AcknowledgedUntil = inUTC(r.DateAcknowledged), inUTC(r.AcknowledgedUntil)
	}
	return nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// assigneeOf returns the assignee of inc. Empty for nobody.
func assigneeOf(inc *incident.Incident) incident.UserID {
	if inc.Response == nil {
		return ""
	}
	return inc.Response.Assignee
}
