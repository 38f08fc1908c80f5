package postgres

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/incidentkit/incident"
)

// A list is merged from parts that an index has in order: a part for each status or for each
// project. The server reads no more of a part than a page needs, wherever the page begins.
// Conditions without an index are checked row by row: the rarer a title, the more of a list
// is read for it.
//
// There are few texts for all filters. An absent condition is sent as a value that every row
// meets, except the two that would slow an unfiltered list down: the rule, and the start of
// the window.
//
// The server plans a prepared statement for its first values, and keeps a generic plan only
// if that seems to cost no more. Therefore the planner must not see why some calls are cheaper
// than others: the page size, the number of projects, the empty parts. A sub-select hides a
// value, and so does a cast from text to an array.

// Incidents implements [incident.IncidentStore].
func (s *Store) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	l := listing{IncidentQuery: q, statement: s.statement(string(q.OrganizationID)), direction: "DESC"}
	if q.Reverse {
		l.direction = "ASC"
	}
	l.addBounds()
	if q.AlertRuleID == "" && (len(q.Projects) > 0 || q.Access != nil) && !onlyActive(q.Statuses) {
		l.addProjectList()
	} else {
		l.addStatusList()
	}
	return query(ctx, s, "incidents", l.statement, func(rows rowSet) ([]incident.Incident, error) {
		page := make([]incident.Incident, 0, q.Limit)
		for rows.Next() {
			page = append(page, incident.Incident{})
			if err := rows.Scan(scanIncident(&page[len(page)-1])...); err != nil {
				return nil, err
			}
		}
		return page, nil
	})
}

// onlyActive reports whether a query asks for active incidents only. Those are few.
func onlyActive(statuses []incident.Status) bool {
	return len(statuses) > 0 && !slices.ContainsFunc(statuses, func(s incident.Status) bool { return !s.Active() })
}

// listing assembles the statement of a query.
type listing struct {
	*statement
	incident.IncidentQuery
	direction string

	limit         reference
	after, before listKey   // the exclusive bounds of the page
	start         reference // of the window, or 0

	// The conditions on rows, or 0.
	title, statuses, projects, access reference
}

// listKey is the sort key of lists.
type listKey struct{ started, identifier reference }

// addBounds adds the parameters that the parts of a list share.
func (l *listing) addBounds() {
	var after, before any = "-infinity", "infinity"
	first, last := int64(0), int64(math.MaxInt64)
	if !l.End.IsZero() {
		before = l.End
	}
	switch p := l.After; {
	case p == nil:
	case l.Reverse:
		after, first = p.DateStarted, p.Identifier
	case l.End.IsZero() || !p.DateStarted.After(l.End):
		before, last = p.DateStarted, p.Identifier
	}
	l.limit = l.parameter(int64(l.Limit))
	l.after = listKey{l.parameter(after), l.parameter(first)}
	l.before = listKey{l.parameter(before), l.parameter(last)}
	if !l.Start.IsZero() {
		l.start = l.parameter(l.Start)
	}
}

// allStatuses are the statuses of a list's parts, in the order of the parts.
var allStatuses = append(incident.ActiveStatuses(), incident.StatusClosed)

// statusArray returns the statuses as the text of an array. None stands for all.
func statusArray(statuses []incident.Status) string {
	if len(statuses) == 0 {
		statuses = allStatuses
	}
	text := []byte{'{'}
	for i, s := range statuses {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(s), 10)
	}
	return string(append(text, '}'))
}

// addBetween restricts a part to the bounds of the page.
func (l *listing) addBetween() {
	l.add(" AND (date_started, identifier) > (SELECT ?::timestamptz, ?::bigint)", l.after.started, l.after.identifier)
	l.add(" AND (date_started, identifier) < (SELECT ?::timestamptz, ?::bigint)", l.before.started, l.before.identifier)
}

// addFirst ends a part. Its rows are read singly until the page is full. The literal is
// the largest page; without it the planner expects a tenth of all rows.
func (l *listing) addFirst() {
	l.add("\n\tORDER BY date_started " + l.direction + ", identifier " + l.direction + "\n\tLIMIT 101")
}

// addPage orders the rows of all parts and limits them to the page.
func (l *listing) addPage() {
	l.add("\n\tORDER BY date_started "+l.direction+", identifier "+l.direction+"\n\tLIMIT (SELECT ?::bigint)", l.limit)
}

// addStatusList merges the first rows of each status, within the rule if the query names it.
func (l *listing) addStatusList() {
	l.title, l.statuses = l.parameter(l.Title), l.parameter(statusArray(l.Statuses))
	l.projects = l.parameter(nil)
	if len(l.Projects) > 0 {
		l.args[l.projects-1] = idArray(l.Projects)
	}
	l.access = l.parameter(accessArray(l.Access))
	var rule reference
	if l.AlertRuleID != "" {
		rule = l.parameter(string(l.AlertRuleID))
	}
	l.add("SELECT " + incidentColumns + " FROM (")
	for i, status := range allStatuses {
		if i > 0 {
			l.add("\n\tUNION ALL")
		}
		literal := strconv.Itoa(int(status))
		l.add(`
	(SELECT * FROM @incident WHERE organization_id = $1 AND status = `+literal+` AND `+literal+` = ANY (?::text::smallint[])`, l.statuses)
		if rule != 0 {
			l.add(" AND alert_rule_id = ? AND alert_rule_id <> ''", rule)
		}
		l.addBetween()
		if l.start != 0 && status == incident.StatusClosed {
			l.add(" AND date_started >= "+longestBefore+" AND date_closed >= (SELECT ?::timestamptz)", l.start, l.start)
		}
		// coalesce hides from the planner how rare the rows may be. If it expects few rows
		// it sorts the whole list.
		l.add(` AND coalesce(strpos(title_folded, ?) > 0
		AND coalesce(projects && ?::text[], true)
		AND coalesce(projects = '{}' OR projects && ?::text[], true), false)`, l.title, l.projects, l.access)
		l.addFirst()
		l.add(")")
	}
	l.add("\n) i")
	l.addPage()
}

// accessArray returns the projects of access as an array, or NULL without a restriction.
func accessArray(access *incident.ProjectAccess) any {
	if access == nil {
		return nil
	}
	return idArray(access.Projects)
}

// addProjectList merges the first rows of each project. An incident on the page is also among
// the first rows of each project that it affects, so no project is read further than a page.
// If the query names no project, the parts are the projects of its access and the incidents
// that affect no project.
func (l *listing) addProjectList() {
	projects, access := l.Projects, l.Access
	switch {
	case len(projects) == 0:
		projects, access = access.Projects, nil
	case access != nil && isSubset(projects, access.Projects):
		access = nil
	}
	if len(l.Statuses) > 0 || l.Title != "" || l.start != 0 || access != nil {
		l.title, l.statuses, l.access = l.parameter(l.Title), l.parameter(statusArray(l.Statuses)), l.parameter(accessArray(access))
	}
	l.add("SELECT "+incidentColumns+` FROM (
	SELECT DISTINCT date_started, identifier FROM (
		SELECT found.* FROM unnest((SELECT ?::text[])) AS wanted (project)
		CROSS JOIN LATERAL (
			SELECT * FROM (
	SELECT p.date_started, p.identifier
	FROM @incident_project p`, idArray(projects))
	l.addChecked()
	l.add(`
	WHERE organization_id = $1 AND project_id = wanted.project`)
	l.addBetween()
	if l.start != 0 {
		l.add(" AND date_started >= least("+longestBefore+oldestActive+")", l.start)
	}
	l.addFirst()
	l.add(") first")
	l.addPage()
	l.add(`
		) found
		UNION ALL (
	SELECT date_started, identifier
	FROM @incident
	WHERE organization_id = $1 AND projects = '{}' AND ?::text::boolean`, strconv.FormatBool(len(l.Projects) == 0))
	l.addBetween()
	l.addConditions()
	l.addFirst()
	l.add(`)
	) found`)
	l.addPage()
	l.add(`
) place
CROSS JOIN LATERAL (
	SELECT * FROM @incident WHERE organization_id = $1 AND identifier = place.identifier OFFSET 0
) i
ORDER BY place.date_started ` + l.direction + `, place.identifier ` + l.direction)
}

// addConditions adds the conditions on columns that a project's list lacks.
func (l *listing) addConditions() {
	if l.title == 0 {
		return
	}
	l.add(`
		AND coalesce(status = ANY (?::text::smallint[]) AND strpos(title_folded, ?) > 0
		AND coalesce(projects = '{}' OR projects && ?::text[], true), false)`, l.statuses, l.title, l.access)
	if l.start != 0 {
		l.add(" AND (date_closed IS NULL OR date_closed >= (SELECT ?::timestamptz))", l.start)
	}
}

// addChecked joins the incidents of p that meet the conditions.
func (l *listing) addChecked() {
	if l.title == 0 {
		return
	}
	l.add(`
	CROSS JOIN LATERAL (
		SELECT FROM @incident WHERE organization_id = $1 AND identifier = p.identifier`)
	l.addConditions()
	l.add(`
		OFFSET 0
	) checked`)
}

// isSubset reports whether every project is among others. others must be sorted.
func isSubset(projects, others []incident.ProjectID) bool {
	return !slices.ContainsFunc(projects, func(p incident.ProjectID) bool {
		_, found := slices.BinarySearch(others, p)
		return !found
	})
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

// oldestActive is the earliest start of an active incident, for each active status.
const oldestActive = `,
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 1),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 10),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 20)`

// CountIncidents implements [incident.IncidentStore].
func (s *Store) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	return nil, s.translate(ctx, "count incidents", incident.ErrUnavailable)
}
