package postgres

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// The destinations of columns scan a driver's value straight into a model. NULL leaves the model
// as it is, so that a row of an outer join needs no type of its own. A destination is a
// single pointer, because an interface holds such a value without memory of its own.

func unexpected(src any, want string) error {
	return fmt.Errorf("postgres: a column holds %T where %s was expected", src, want)
}

type textColumn[T ~string] struct{ to *T }

func text[T ~string](to *T) textColumn[T] { return textColumn[T]{to} }

// Scan implements [sql.Scanner].
func (c textColumn[T]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
	case string:
		*c.to = T(v)
	case []byte:
		*c.to = T(v)
	default:
		return unexpected(src, "text")
	}
	return nil
}

func (c textColumn[T]) unpack(value []byte) error {
	*c.to = T(value)
	return nil
}

type integerColumn[T ~int | ~int64] struct{ to *T }

func integer[T ~int | ~int64](to *T) integerColumn[T] { return integerColumn[T]{to} }

// Scan implements [sql.Scanner].
func (c integerColumn[T]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
	case int64:
		*c.to = T(v)
	default:
		n, err := integerOfText(src)
		if err != nil {
			return err
		}
		*c.to = T(n)
	}
	return nil
}

func (c integerColumn[T]) unpack(value []byte) error {
	n, err := unpackInteger(value)
	*c.to = T(n)
	return err
}

type booleanColumn struct{ to *bool }

func boolean(to *bool) booleanColumn { return booleanColumn{to} }

// Scan implements [sql.Scanner].
func (c booleanColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
	case bool:
		*c.to = v
	default:
		return booleanOfText(src, c.to)
	}
	return nil
}

type instantColumn struct{ to *time.Time }

func instant(to *time.Time) instantColumn { return instantColumn{to} }

// Scan implements [sql.Scanner].
func (c instantColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
	case time.Time:
		*c.to = v.UTC()
	default:
		return instantOfText(src, c.to)
	}
	return nil
}

func (c instantColumn) unpack(value []byte) (err error) {
	*c.to, err = unpackInstant(value)
	return err
}

type optionalInstantColumn struct{ to **time.Time }

func optionalInstant(to **time.Time) optionalInstantColumn { return optionalInstantColumn{to} }

// Scan implements [sql.Scanner].
func (c optionalInstantColumn) Scan(src any) error {
	if src == nil {
		return nil
	}
	var t time.Time
	err := instant(&t).Scan(src)
	*c.to = &t
	return err
}

func (c optionalInstantColumn) unpack(value []byte) error {
	t, err := unpackInstant(value)
	*c.to = &t
	return err
}

type identityColumn struct{ to *uuid.UUID }

func identity(to *uuid.UUID) identityColumn { return identityColumn{to} }

// Scan implements [sql.Scanner].
func (c identityColumn) Scan(src any) error {
	if src == nil {
		return nil
	}
	return c.to.Scan(src)
}

func (c identityColumn) unpack(value []byte) error { return c.to.UnmarshalBinary(value) }

type listColumn[T ~string] struct{ to *[]T }

// list scans an array of text.
func list[T ~string](to *[]T) listColumn[T] { return listColumn[T]{to} }

// Scan implements [sql.Scanner].
func (c listColumn[T]) Scan(src any) error {
	if src == nil {
		return nil
	}
	var all pq.StringArray
	if err := all.Scan(src); err != nil {
		return err
	}
	*c.to = nil
	for _, v := range all {
		*c.to = append(*c.to, T(v))
	}
	return nil
}

func (c listColumn[T]) unpack(value []byte) error {
	*c.to = nil
	return unpackTexts(value, func(element []byte) { *c.to = append(*c.to, T(element)) })
}

// incidentColumns are the columns of an incident i.
const incidentColumns = `i.organization_id, i.identifier, i.title, i.type, i.status, i.status_method,
	i.alert_rule_id, i.query_id, i.detection_uuid, i.projects,
	i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, i.optional`

// scanIncident returns destinations for incidentColumns. NULL leaves a field of inc as it
// was.
func scanIncident(inc *incident.Incident) []any { return appendIncident(nil, inc, optional(inc)) }

// appendIncident appends the destinations of scanIncident to dest, with that for incident.optional.
func appendIncident(dest []any, inc *incident.Incident, optional *optionalColumn) []any {
	return append(dest,
		text(&inc.OrganizationID), integer(&inc.Identifier), text(&inc.Title),
		integer(&inc.Type), integer(&inc.Status), integer(&inc.StatusMethod),
		text(&inc.AlertRuleID), text(&inc.QueryID), identity(&inc.DetectionUUID), list(&inc.Projects),
		instant(&inc.DateStarted), instant(&inc.DateDetected), instant(&inc.DateAdded), optionalInstant(&inc.DateClosed),
		integer(&inc.Version), optional,
	)
}

// stateColumns are the columns of an incident i and of a trigger t of it.
const stateColumns = incidentColumns + `, i.call_id, ` + triggerColumns

// triggerColumns are the columns of a trigger t of an incident.
const triggerColumns = `t.identifier, t.trigger_id, t.status, t.severity, t.date_added, t.date_modified`

// appendTrigger appends destinations for triggerColumns to dest.
func appendTrigger(dest []any, t *incident.Trigger) []any {
	return append(dest,
		integer(&t.Incident.Identifier), text(&t.TriggerID), integer(&t.Status), integer(&t.Severity),
		instant(&t.DateAdded), instant(&t.DateModified),
	)
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
