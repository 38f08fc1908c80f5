package postgres

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// column scans the driver's value of a column straight into a model. NULL leaves the
// destination as it is, so that a row of an outer join needs no type of its own.
type column func(src any) error

// Scan implements [sql.Scanner].
func (c column) Scan(src any) error {
	if src == nil {
		return nil
	}
	return c(src)
}

func unexpected(src any, want string) error {
	return fmt.Errorf("postgres: a column holds %T where %s was expected", src, want)
}

func text[T ~string](to *T) column {
	return func(src any) error {
		switch v := src.(type) {
		case string:
			*to = T(v)
		case []byte:
			*to = T(v)
		default:
			return unexpected(src, "text")
		}
		return nil
	}
}

func integer[T ~int | ~int64](to *T) column {
	return func(src any) error {
		v, ok := src.(int64)
		if !ok {
			return integerOfText(src, func(n int64) { *to = T(n) })
		}
		*to = T(v)
		return nil
	}
}

func boolean(to *bool) column {
	return func(src any) (err error) {
		v, ok := src.(bool)
		if !ok {
			return booleanOfText(src, to)
		}
		*to = v
		return nil
	}
}

func instant(to *time.Time) column {
	return func(src any) error {
		v, ok := src.(time.Time)
		if !ok {
			return instantOfText(src, to)
		}
		*to = v.UTC()
		return nil
	}
}

func optionalInstant(to **time.Time) column {
	return func(src any) error {
		var t time.Time
		err := instant(&t)(src)
		*to = &t
		return err
	}
}

func identity(to *uuid.UUID) column { return func(src any) error { return to.Scan(src) } }

// list scans an array of text.
func list[T ~string](to *[]T) column {
	return func(src any) error {
		var all pq.StringArray
		if err := all.Scan(src); err != nil {
			return err
		}
		*to = nil
		for _, v := range all {
			*to = append(*to, T(v))
		}
		return nil
	}
}

// incidentColumns are the columns of an incident i.
const incidentColumns = `i.organization_id, i.identifier, i.title, i.type, i.status, i.status_method,
	i.alert_rule_id, i.query_id, i.detection_uuid, i.projects,
	i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, i.optional`

// scanIncident returns destinations for incidentColumns. NULL leaves a field of inc as it
// was.
func scanIncident(inc *incident.Incident) []any {
	return []any{
		text(&inc.OrganizationID), integer(&inc.Identifier), text(&inc.Title),
		integer(&inc.Type), integer(&inc.Status), integer(&inc.StatusMethod),
		text(&inc.AlertRuleID), text(&inc.QueryID), identity(&inc.DetectionUUID), list(&inc.Projects),
		instant(&inc.DateStarted), instant(&inc.DateDetected), instant(&inc.DateAdded), optionalInstant(&inc.DateClosed),
		integer(&inc.Version), optional(inc),
	}
}

// stateColumns are the columns of an incident i and of a trigger t of it.
const stateColumns = incidentColumns + `, i.call_id, ` + triggerColumns

// triggerColumns are the columns of a trigger t of an incident.
const triggerColumns = `t.identifier, t.trigger_id, t.status, t.severity, t.date_added, t.date_modified`

func scanTrigger(t *incident.Trigger) []any {
	return []any{
		integer(&t.Incident.Identifier), text(&t.TriggerID), integer(&t.Status), integer(&t.Severity),
		instant(&t.DateAdded), instant(&t.DateModified),
	}
}

// activityColumns are the columns of an activity a of an incident.
const activityColumns = `a.identifier, a.sequence, a.type, a.user_id, a.value, a.previous_value, a.comment,
	a.notification_uuid, a.date_added, a.date_edited, a.date_deleted, a.revision,
	a.trigger_id, a.field, a.old_text, a.new_text`

func scanActivity(a *incident.Activity) []any {
	return []any{
		integer(&a.Incident.Identifier), integer(&a.Sequence), integer(&a.Type), text(&a.UserID),
		integer(&a.Value), integer(&a.PreviousValue), text(&a.Comment),
		identity(&a.NotificationUUID), instant(&a.DateAdded), optionalInstant(&a.DateEdited), optionalInstant(&a.DateDeleted),
		integer(&a.Revision),
		text(&a.TriggerID), text(&a.Field), text(&a.Old), text(&a.New),
	}
}
