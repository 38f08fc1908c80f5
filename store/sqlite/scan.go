package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// column scans the driver's value of a column straight into a model. NULL leaves the
// destination as it is, so that a row of an outer join needs no type of its own.
type column func(src driver.Value) error

// queryEach calls each after it has scanned a row into dest.
func queryEach(ctx context.Context, q session, text string, args []any, each func(), dest ...column) error {
	return q.query(ctx, text, args, func(values []driver.Value) error {
		if len(values) != len(dest) {
			return fmt.Errorf("sqlite: a row has %d columns, want %d", len(values), len(dest))
		}
		for i, v := range values {
			if v == nil {
				continue
			}
			if err := dest[i](v); err != nil {
				return err
			}
		}
		each()
		return nil
	})
}

// queryOne scans the only row into dest, and reports whether the row exists.
func queryOne(ctx context.Context, q session, text string, args []any, dest ...column) (found bool, err error) {
	err = queryEach(ctx, q, text, args, func() { found = true }, dest...)
	return found, err
}

func unexpected(src driver.Value, want string) error {
	return fmt.Errorf("sqlite: a column holds %T where %s was expected", src, want)
}

func text[T ~string](to *T) column {
	return func(src driver.Value) error {
		v, ok := src.(string)
		if !ok {
			return unexpected(src, "text")
		}
		*to = T(v)
		return nil
	}
}

func integer[T ~int | ~int64](to *T) column {
	return func(src driver.Value) error {
		v, ok := src.(int64)
		if !ok {
			return unexpected(src, "an integer")
		}
		*to = T(v)
		return nil
	}
}

func boolean(to *bool) column {
	return func(src driver.Value) error {
		var n int64
		err := integer(&n)(src)
		*to = n != 0
		return err
	}
}

func instant(to *time.Time) column {
	return func(src driver.Value) error {
		var n int64
		err := integer(&n)(src)
		*to = timeOf(n)
		return err
	}
}

func optionalInstant(to **time.Time) column {
	return func(src driver.Value) error {
		var t time.Time
		err := instant(&t)(src)
		*to = &t
		return err
	}
}

func identity(to *uuid.UUID) column {
	return func(src driver.Value) error {
		v, ok := src.([]byte)
		if !ok || len(v) != len(to) {
			return unexpected(src, "a UUID")
		}
		copy(to[:], v)
		return nil
	}
}

// list scans a JSON array of texts.
func list[T ~string](to *[]T) column {
	return func(src driver.Value) error {
		v, ok := src.(string)
		if !ok {
			return unexpected(src, "a list")
		}
		*to = nil
		if v == emptyList {
			return nil
		}
		return json.Unmarshal([]byte(v), to)
	}
}

const emptyList = "[]"

// listOf returns the JSON array of texts.
func listOf[T ~string](all []T) string {
	if len(all) == 0 {
		return emptyList
	}
	return jsonOf(all)
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

// micro returns the argument for a time.
func micro(t time.Time) int64 { return t.UnixMicro() }

// optionalMicro returns the argument for a time that may be nil.
func optionalMicro(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}

// optionalUUID returns the argument for a UUID that may be zero.
func optionalUUID(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// optionalString returns the argument for a text that may be empty.
func optionalString[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// incidentColumns are the columns of an incident i. Each column of a row costs the driver about as
// much as a step of the statement: the organization is known, and not among them.
const incidentColumns = `i.identifier, i.title, i.type, i.status, i.status_method,
	i.alert_rule_id, i.query_id, i.detection_uuid, i.projects,
	i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, i.optional`

// scanIncident returns destinations for incidentColumns. NULL leaves a field of inc as it was.
func scanIncident(org incident.OrganizationID, inc *incident.Incident) []column {
	return []column{
		func(src driver.Value) error {
			inc.OrganizationID = org
			return integer(&inc.Identifier)(src)
		},
		text(&inc.Title),
		integer(&inc.Type), integer(&inc.Status), integer(&inc.StatusMethod),
		text(&inc.AlertRuleID), text(&inc.QueryID), identity(&inc.DetectionUUID), list(&inc.Projects),
		instant(&inc.DateStarted), instant(&inc.DateDetected), instant(&inc.DateAdded), optionalInstant(&inc.DateClosed),
		integer(&inc.Version), optional(inc),
	}
}

// triggerColumns are the columns of a trigger t of an incident.
const triggerColumns = `t.trigger_id, t.status, t.severity, t.date_added, t.date_modified`

func scanTrigger(t *incident.Trigger) []column {
	return []column{
		text(&t.TriggerID), integer(&t.Status), integer(&t.Severity), instant(&t.DateAdded), instant(&t.DateModified),
	}
}

// activityColumns are the columns of an activity a of an incident.
const activityColumns = `a.identifier, a.sequence, a.type, a.user_id, a.value, a.previous_value, a.comment,
	a.notification_uuid, a.date_added, a.date_edited, a.date_deleted, a.revision,
	a.trigger_id, a.field, a.old_text, a.new_text`

func scanActivity(a *incident.Activity) []column {
	return []column{
		integer(&a.Incident.Identifier), integer(&a.Sequence), integer(&a.Type), text(&a.UserID),
		integer(&a.Value), integer(&a.PreviousValue), text(&a.Comment),
		identity(&a.NotificationUUID), instant(&a.DateAdded), optionalInstant(&a.DateEdited), optionalInstant(&a.DateDeleted),
		integer(&a.Revision),
		text(&a.TriggerID), text(&a.Field), text(&a.Old), text(&a.New),
	}
}
