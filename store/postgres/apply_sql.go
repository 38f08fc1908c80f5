package postgres

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// applyStatement returns the statement that writes a change. Its query target finds or
// creates the incident if nothing is in the way, and has at most one row; every other query
// writes for the rows of target. The statement fails only for a slot that was claimed, or a
// UUID that was written, after it began: the constraint on holders and the unique indexes
// refuse those.
func (s *Store) applyStatement(w writing, c *call) *statement {
	st := s.statement(counted{string(w.Key.OrganizationID), c})
	l := w.layout()
	st.add("WITH ")
	if l.slots {
		addWanted(st, &w)
	}
	if l.expects {
		addExpectation(st, &w)
	}
	switch {
	case l.brief:
		addBriefCreation(st, &w, l, c)
	case w.Key.Identifier == 0:
		addCreation(st, &w, l, c)
		st.add(linkSQL, w.Incident.DateStarted, idArray(w.link))
	case w.Incident != nil:
		addUpdate(st, &w, l, c)
	default:
		addAppending(st, &w, l)
	}
	if !l.brief {
		addActivities(st, &w, l, c)
	}
	if l.queues != (queues{}) {
		s.queued.Store(true)
		addQueues(st, &w, l)
	}
	if l.ends {
		addEnd(st, &w)
	}
	if l.links {
		var started any
		if w.Incident != nil {
			started = w.Incident.DateStarted
		}
		st.add(linkSQL, started, idArray(w.link))
		st.add(unlinkSQL, idArray(w.unlink), w.before.started)
	}
	if l.labels {
		addLabels(st, &w)
	}
	if l.relists && !l.brief {
		addRelisting(st, &w)
	}
	if l.triggers {
		addTriggers(st, w.Triggers)
	}
	if l.subscribes && !l.brief {
		addSubscriptions(st, w.Subscriptions)
	}
	if !l.slots {
		return st.add(`
SELECT identifier, activities FROM target`)
	}
	addSlots(st, &w, l)
	return st
}

// addLabels writes the differences of the lists of labels and assignees. A new incident
// leaves none.
func addLabels(st *statement, w *writing) {
	var started any
	if w.Incident != nil {
		started = w.Incident.DateStarted
	}
	st.add(labelSQL, started, w.label)
	if w.Key.Identifier != 0 {
		st.add(unlabelSQL, w.unlabel, w.before.started)
	}
}

// addCount counts the new incident. The caller closes the parenthesis of target.
func addCount(st *statement, w *writing, l layout) {
	st.add(`target AS (
	INSERT INTO @incident_organization AS o (organization_id, incidents)
	SELECT $1::text, 1
	WHERE true`)
	addConditions(st, w, l)
	if l.detects {
		st.add(`
		AND NOT EXISTS (SELECT FROM @incident WHERE organization_id = $1 AND detection_uuid = ?)`, uuidOrNil(w.Incident.DetectionUUID))
	}
	st.add(`
	ON CONFLICT (organization_id) DO UPDATE
	SET incidents = o.incidents + 1
	RETURNING incidents AS identifier, ?::bigint AS activities`, len(w.Activities))
}

// addCreation counts and inserts the incident.
func addCreation(st *statement, w *writing, l layout, c *call) {
	addCount(st, w, l)
	st.add(`
), created AS (
	INSERT INTO @incident (organization_id, identifier, version, activities, call_id,
		type, status, status_method, date_started, date_detected, date_added, date_closed,
		detection_uuid, title, title_folded, alert_rule_id, query_id, projects, optional, listed)
	SELECT $1::text, identifier, ?::bigint, activities, ?::bigint,
		?::smallint, ?::smallint, ?::smallint, ?::timestamptz, ?::timestamptz, ?::timestamptz, ?::timestamptz,
		?::uuid, ?::text, ?::text, ?::text, ?::text, ?::text[], ?::text::jsonb, ?::bigint
	FROM target
)`, incidentValues(w, c)...)
}

// addUpdate replaces the row if it has the expected version, status and call. The status and the call are
// compared because a server that took over without the last commits may have counted to the same version.
func addUpdate(st *statement, w *writing, l layout, c *call) {
	st.add(`target AS (
	UPDATE @incident
	SET activities = activities + ?, version = ?, call_id = ?, changed = DEFAULT,
		type = ?, status = ?, status_method = ?,
		date_started = ?, date_detected = ?, date_added = ?, date_closed = ?,
		detection_uuid = ?, title = ?, title_folded = ?, alert_rule_id = ?, query_id = ?, projects = ?, optional = ?::text::jsonb, listed = ?
	WHERE organization_id = $1 AND identifier = ? AND version = ? AND date_started = ?
		AND coalesce(optional #>> '{response,assignee}', '') = ? AND `+listingSQL+` = ?::smallint
		AND coalesce(?::bigint, call_id) = call_id`,
		slices.Concat([]any{len(w.Activities)}, incidentValues(w, c),
			[]any{w.Key.Identifier, w.ExpectVersion, w.before.started, string(w.before.assignee), w.before.listing, writeBefore(&w.Change)})...)
	addConditions(st, w, l)
	st.add(`
	RETURNING identifier, activities
)`)
}

// addAppending changes nothing in the row except the count of activities.
func addAppending(st *statement, w *writing, l layout) {
	if l.log == 0 {
		st.add(`target AS (
	SELECT identifier, activities FROM @incident WHERE organization_id = $1 AND identifier = ?
)`, w.Key.Identifier)
		return
	}
	st.add(`target AS (
	UPDATE @incident
	SET activities = activities + ?
	WHERE organization_id = $1 AND identifier = ?`, len(w.Activities), w.Key.Identifier)
	addConditions(st, w, l)
	st.add(`
	RETURNING identifier, activities
)`)
}

// incidentValues returns the values of a row's columns from version on, without activities.
func incidentValues(w *writing, c *call) []any {
	inc := w.Incident
	return []any{
		inc.Version, c.id,
		int(inc.Type), int(inc.Status), int(inc.StatusMethod),
		inc.DateStarted, inc.DateDetected, inc.DateAdded, inc.DateClosed,
		uuidOrNil(inc.DetectionUUID),
		inc.Title, incident.FoldTitle(inc.Title), string(inc.AlertRuleID), string(inc.QueryID), idArray(inc.Projects),
		w.optional, listedVersion(inc),
	}
}

func uuidOrNil(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}

// addConditions makes target empty if the change was written before, if it claims a slot
// that another incident holds, or if a slot has another version than expected.
func addConditions(st *statement, w *writing, l layout) {
	if l.looks {
		var notification any
		if len(w.Activities) > 0 {
			notification = w.Activities[0].NotificationUUID
		}
		st.add(`
		AND NOT EXISTS (SELECT FROM @incident_activity WHERE organization_id = $1 AND notification_uuid = ?)`, notification)
	}
	addSlotConditions(st, w, l)
	if l.ends {
		addEndCondition(st, w)
	}
}

const linkSQL = `, linked AS (
	INSERT INTO @incident_project (organization_id, project_id, date_started, identifier)
	SELECT $1::text, p.id, ?::timestamptz, t.identifier
	FROM target t, unnest(?::text[]) AS p (id)
)`

const unlinkSQL = `, unlinked AS (
	DELETE FROM @incident_project p
	USING target t
	WHERE p.organization_id = $1 AND p.project_id = ANY (?::text[]) AND p.date_started = ? AND p.identifier = t.identifier
)`

func addTriggers(st *statement, triggers []incident.Trigger) {
	var ids, added, modified pq.StringArray
	var statuses, severities pq.Int64Array
	for _, t := range triggers {
		ids = append(ids, string(t.TriggerID))
		statuses, severities = append(statuses, int64(t.Status)), append(severities, int64(t.Severity))
		added, modified = append(added, timestamp(t.DateAdded)), append(modified, timestamp(t.DateModified))
	}
	st.add(`, triggered AS (
	INSERT INTO @incident_trigger (organization_id, identifier, trigger_id, status, severity, date_added, date_modified)
	SELECT $1::text, t.identifier, v.*
	FROM target t, unnest(?::text[], ?::smallint[], ?::smallint[], ?::timestamptz[], ?::timestamptz[]) AS v
	ON CONFLICT (organization_id, identifier, trigger_id) DO UPDATE
	SET status = EXCLUDED.status, severity = EXCLUDED.severity,
		date_added = EXCLUDED.date_added, date_modified = EXCLUDED.date_modified
)`, ids, statuses, severities, added, modified)
}

func addSubscriptions(st *statement, subscriptions []incident.Subscription) {
	var users, added pq.StringArray
	for _, sub := range subscriptions {
		users, added = append(users, string(sub.UserID)), append(added, timestamp(sub.DateAdded))
	}
	st.add(`, followed AS (
	INSERT INTO @incident_subscription (organization_id, identifier, user_id, date_added)
	SELECT $1::text, t.identifier, v.*
	FROM target t, unnest(?::text[], ?::timestamptz[]) AS v
	ON CONFLICT (organization_id, identifier, user_id) DO NOTHING
)`, users, added)
}

func timestamp(t time.Time) string { return t.Format(time.RFC3339Nano) }

// idArray returns an array that is never NULL.
func idArray[T ~string](ids []T) pq.StringArray {
	array := make(pq.StringArray, len(ids))
	for i, id := range ids {
		array[i] = string(id)
	}
	return array
}
