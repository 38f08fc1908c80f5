package postgres

import (
	"time"

	"github.com/incidentkit/incident"
)

// A brief creation is the usual creation of a Manager: it starts now, affects a single
// project, and has the activities of an opening. All its dates share a parameter; so do all
// uses of its project, its status and its user. Sending and reading parameters is a good
// part of a statement's cost beside the write itself.

// isBrief reports whether the creation is brief.
func (w *writing) isBrief() bool {
	inc := w.Incident
	at := inc.DateAdded
	if w.optional != nil || inc.Version != 1 || inc.DateClosed != nil || !inc.DateStarted.Equal(at) || !inc.DateDetected.Equal(at) ||
		len(inc.Projects) != 1 || len(w.Link) != 1 || w.Link[0] != inc.Projects[0] {
		return false
	}
	return isOpening(w.Activities, inc.Status, at) && onlyUserSubscribes(w.Subscriptions, w.Activities[0].UserID, at)
}

// isOpening reports whether log records that the incident was detected, that it was created,
// and, if log has a third activity, that a trigger then changed its status.
func isOpening(log []incident.Activity, status incident.Status, at time.Time) bool {
	if len(log) < 2 || len(log) > 3 || log[0].Comment != "" {
		return false
	}
	for i := range log {
		if !log[i].DateAdded.Equal(at) {
			return false
		}
	}
	is := func(a *incident.Activity, t incident.ActivityType, value, previous incident.Status) bool {
		return a.Type == t && a.Value == value && a.PreviousValue == previous
	}
	opened := log[1].Value
	return is(&log[0], incident.ActivityTypeDetected, 0, 0) && is(&log[1], incident.ActivityTypeCreated, opened, 0) &&
		(len(log) == 2 && opened == status || len(log) == 3 && is(&log[statusChange], incident.ActivityTypeStatusChange, status, opened))
}

// onlyUserSubscribes reports whether the change subscribes no user except the given user.
func onlyUserSubscribes(subs []incident.Subscription, user incident.UserID, at time.Time) bool {
	return len(subs) == 0 || len(subs) == 1 && subs[0].UserID == user && subs[0].DateAdded.Equal(at)
}

// addBriefCreation adds a brief creation except its slots and its triggers. The literals
// are the activity types of isOpening.
func addBriefCreation(st *statement, w *writing, l layout, c *call) {
	inc, log := w.Incident, w.Activities
	call, at := st.parameter(c.id), st.parameter(inc.DateAdded)
	status, opened := st.parameter(int64(inc.Status)), reference(0)
	project, user := st.parameter(string(inc.Projects[0])), st.parameter(string(log[0].UserID))
	if opened = status; l.log == 3 {
		opened = st.parameter(int64(log[1].Value))
	}
	addCount(st, w, l)
	st.add(`
), created AS (
	INSERT INTO @incident (organization_id, identifier, version, activities, call_id,
		type, status, status_method, date_started, date_detected, date_added,
		title, title_folded, alert_rule_id, query_id, projects, listed)
	SELECT $1::text, identifier, 1, activities, ?::bigint,
		?::smallint, ?::smallint, ?::smallint, ?::timestamptz, ?::timestamptz, ?::timestamptz,
		?::text, ?::text, ?::text, ?::text, ARRAY[?::text], 1
	FROM target
), linked AS (
	INSERT INTO @incident_project (organization_id, project_id, date_started, identifier)
	SELECT $1::text, ?::text, ?::timestamptz, identifier
	FROM target
), listed AS (
	INSERT INTO @incident_active (organization_id, digest, date_started, identifier)
	SELECT $1::text, ?::uuid, ?::timestamptz, identifier
	FROM target
)`, call, int64(inc.Type), status, int64(inc.StatusMethod), at, at, at,
		inc.Title, incident.FoldTitle(inc.Title), string(inc.AlertRuleID), string(inc.QueryID), project,
		project, at, projectDigest(inc.Projects[0]), at)
	st.add(`, logged AS (
	INSERT INTO @incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, revision, trigger_id)
	SELECT $1::text, t.identifier, ?::bigint, v.sequence, v.type, v.value, v.previous_value,
		?::timestamptz, v.notification_uuid, ?::text, '', 0, `, call, at, user)
	if l.log == 3 {
		st.add("CASE v.sequence WHEN 3 THEN ?::text END", textOrNil(log[statusChange].TriggerID))
	} else {
		st.add("NULL")
	}
	st.add(`
	FROM target t, (VALUES
		(1, 4::smallint, 0::smallint, 0::smallint, ?::uuid),
		(2, 1::smallint, ?::smallint, 0::smallint, ?::uuid)`, log[0].NotificationUUID, opened, log[1].NotificationUUID)
	if l.log == 3 {
		st.add(`,
		(3, 2::smallint, ?::smallint, ?::smallint, ?::uuid)`, status, opened, log[statusChange].NotificationUUID)
	}
	st.add(`
	) AS v (sequence, type, value, previous_value, notification_uuid)
)`)
	if l.subscribes {
		st.add(`, followed AS (
	INSERT INTO @incident_subscription (organization_id, identifier, user_id, date_added)
	SELECT $1::text, identifier, ?::text, ?::timestamptz
	FROM target
)`, user, at)
	}
}
