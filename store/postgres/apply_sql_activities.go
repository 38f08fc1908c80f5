package postgres

import (
	"strconv"

	"github.com/lib/pq"
)

// addActivities appends the activities; the last of them gets the incident's count as its
// sequence. Usual activities select the values that they share and list only those that
// differ, because a listed value costs the server as much as several selected values.
// Of several usual activities only the status change has a trigger, and none has a field.
func addActivities(st *statement, w *writing, l layout, c *call) {
	if l.log == 0 {
		return
	}
	st.add(`, logged AS (
	INSERT INTO @incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, trigger_id, field, old_text, new_text, revision, date_edited, date_deleted)
	SELECT $1::text, t.identifier, ?::bigint`, c.id)
	switch l.log {
	case listOfArrays:
		addArrays(st, w)
	case 1:
		a := &w.Activities[0]
		st.add(`, t.activities, ?::smallint, ?::smallint, ?::smallint, ?::timestamptz, ?::uuid, ?::text, ?::text,
		?::text, ?::text, ?::text, ?::text, 0, NULL, NULL
	FROM target t`, int64(a.Type), int64(a.Value), int64(a.PreviousValue), a.DateAdded, a.NotificationUUID, a.UserID, a.Comment,
			textOrNil(a.TriggerID), textOrNil(a.Field), textOrNil(a.Old), textOrNil(a.New))
	default:
		st.add(`, t.activities - v.behind, v.type, v.value, v.previous_value, v.date_added, v.notification_uuid, ?::text, ?::text,
		v.trigger_id, NULL, NULL, NULL, 0, NULL, NULL
	FROM target t, (VALUES`, w.Activities[0].UserID, w.Activities[0].Comment)
		for i := range w.Activities {
			if i > 0 {
				st.add(",")
			}
			a := &w.Activities[i]
			st.add("\n\t\t("+strconv.Itoa(l.log-1-i)+", ?::smallint, ?::smallint, ?::smallint, ?::timestamptz, ?::uuid, ",
				int64(a.Type), int64(a.Value), int64(a.PreviousValue), a.DateAdded, a.NotificationUUID)
			if i < statusChange {
				st.add("NULL::text)")
			} else {
				st.add("?::text)", textOrNil(a.TriggerID))
			}
		}
		st.add(`
	) AS v (behind, type, value, previous_value, date_added, notification_uuid, trigger_id)`)
	}
	st.add(`
)`)
}

// statusChange is the index of the status change of a usual opening.
const statusChange = 2

// textOrNil returns NULL for an empty text.
func textOrNil[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// addArrays lists any number of activities. pq.StringArray has no NULL: an empty text stands
// for a missing time, and for a missing text.
func addArrays(st *statement, w *writing) {
	n := len(w.Activities)
	behind, types, values, previous, revisions := make(pq.Int64Array, n), make(pq.Int64Array, n), make(pq.Int64Array, n), make(pq.Int64Array, n), make(pq.Int64Array, n)
	added, notifications, users, comments := make(pq.StringArray, n), make(pq.StringArray, n), make(pq.StringArray, n), make(pq.StringArray, n)
	edited, deleted := make(pq.StringArray, n), make(pq.StringArray, n)
	triggers, fields, olds, news := make(pq.StringArray, n), make(pq.StringArray, n), make(pq.StringArray, n), make(pq.StringArray, n)
	for i := range w.Activities {
		a := &w.Activities[i]
		behind[i], types[i], values[i], previous[i] = int64(n-1-i), int64(a.Type), int64(a.Value), int64(a.PreviousValue)
		revisions[i], added[i], notifications[i] = a.Revision, timestamp(a.DateAdded), a.NotificationUUID.String()
		users[i], comments[i] = string(a.UserID), a.Comment
		triggers[i], fields[i], olds[i], news[i] = string(a.TriggerID), a.Field, a.Old, a.New
		if a.DateEdited != nil {
			edited[i] = timestamp(*a.DateEdited)
		}
		if a.DateDeleted != nil {
			deleted[i] = timestamp(*a.DateDeleted)
		}
	}
	st.add(`, t.activities - v.behind, v.type, v.value, v.previous_value, v.date_added, v.notification_uuid, v.user_id, v.comment,
		nullif(v.trigger_id, ''), nullif(v.field, ''), nullif(v.old_text, ''), nullif(v.new_text, ''), v.revision,
		nullif(v.date_edited, '')::timestamptz, nullif(v.date_deleted, '')::timestamptz
	FROM target t, unnest(?::bigint[], ?::smallint[], ?::smallint[], ?::smallint[], ?::timestamptz[], ?::uuid[],
		?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[])
		AS v (behind, type, value, previous_value, date_added, notification_uuid, user_id, comment,
			trigger_id, field, old_text, new_text, revision, date_edited, date_deleted)`,
		behind, types, values, previous, added, notifications, users, comments,
		triggers, fields, olds, news, revisions, edited, deleted)
}
