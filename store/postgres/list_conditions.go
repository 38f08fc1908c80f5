package postgres

import (
	"github.com/incidentkit/incident"
)

// conditions are the parameters of the conditions on rows, or 0.
type conditions struct {
	title, statuses, rule, projects, access reference

	optional          reference // JSON that incident.optional must contain, as text
	acknowledged, now reference
}

// addConditionParameters adds a value for each condition. For an absent condition every row
// meets the value.
func (l *listing) addConditionParameters(projects []incident.ProjectID, access *incident.ProjectAccess) {
	l.title, l.statuses = l.parameter(l.Title), l.parameter(statusArray(l.Statuses))
	l.projects = l.parameter(nil)
	if len(projects) > 0 {
		l.args[l.projects-1] = idArray(projects)
	}
	l.access = l.parameter(accessArray(access))
	if l.AlertRuleID != "" {
		l.rule = l.parameter(string(l.AlertRuleID))
	}
	l.optional = l.parameter(optionalText(&l.IncidentQuery))
	var acknowledged, now any
	if l.Acknowledged != nil {
		acknowledged, now = *l.Acknowledged, l.Now
	}
	l.acknowledged, l.now = l.parameter(acknowledged), l.parameter(now)
}

// optionalText returns the JSON that contains the labels and the assignee of a query. Empty
// without any.
func optionalText(q *incident.IncidentQuery) string {
	if len(q.Labels) == 0 && q.Assignee == "" {
		return ""
	}
	var fields optionalFields
	if q.Assignee != "" {
		fields.Response = &storedResponse{Assignee: q.Assignee}
	}
	if len(q.Labels) > 0 {
		fields.Labels = make(map[string]string, len(q.Labels))
		for _, label := range q.Labels {
			fields.Labels[label.Name] = label.Value
		}
	}
	return jsonOf(fields)
}

// acknowledgedSQL is [incident.Incident.Acknowledged].
const acknowledgedSQL = `(optional #> '{response,at}' IS NOT NULL
			AND coalesce((optional #>> '{response,until}')::timestamptz, 'infinity') > ?::timestamptz)`

// addRowConditions adds the conditions that have no index of their own. coalesce hides from
// the planner how rare the rows may be. If it expects few rows it sorts the whole list.
func (l *listing) addRowConditions(also string, args ...any) {
	l.add(`
		AND coalesce(`+also+`strpos(title_folded, ?) > 0
		AND coalesce(projects && ?::text[], true)
		AND coalesce(projects = '{}' OR projects && ?::text[], true)
		AND (?::text = '' OR jsonb_contains(optional, nullif(?::text, '')::jsonb))
		AND (?::boolean IS NULL OR ?::boolean = coalesce(`+acknowledgedSQL+`, false)), false)`,
		append(args, l.title, l.projects, l.access, l.optional, l.optional, l.acknowledged, l.acknowledged, l.now)...)
}

// addConditions adds the conditions on columns that the list of a project or a label lacks.
func (l *listing) addConditions() {
	if l.title == 0 {
		return
	}
	status := "status"
	if l.counts {
		status = closedLiteral + " = status AND status"
	}
	l.addRowConditions(status+" = ANY (?::text::smallint[]) AND ", l.statuses)
	if l.start != 0 {
		l.add(" AND (date_closed IS NULL OR date_closed >= (SELECT ?::timestamptz))", l.start)
	}
}

// longestBefore is a time minus the longest duration of a closed incident: an incident that
// closed after the time cannot have started earlier. A day is added because a day's length
// depends on the time zone of the session. Beyond 500,000 days there is no bound, because the
// time might be out of range.
const longestBefore = `(
		SELECT CASE
			WHEN max(date_closed - date_started) > interval '500000 days' THEN '-infinity'
			ELSE (SELECT ?::timestamptz) - coalesce(max(date_closed - date_started), interval '0') - interval '1 day'
		END
		FROM @incident
		WHERE organization_id = $1 AND date_closed IS NOT NULL
	)`

// earliestInWindow is the earliest start that an incident in the window can have: that of the longest
// before, or of an active incident of each status.
const earliestInWindow = `least(` + longestBefore + `,
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 1),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 10),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 20))`
