package postgres

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/incidentkit/incident"
)

// A list is merged from parts that are each in order already, in an index: a part for
// each status or each project. The server reads no more of a part than a page needs,
// wherever the page begins. Conditions that no index has are checked row by row on the
// way: the rarer a title is, the more of a list is read for it.
//
// There are few texts, whatever the filter is. A condition that is not given is sent as
// a value that every row meets, except for what would cost an unfiltered list time: the
// rule, and the beginning of the window.
//
// The server plans a prepared statement for its first values, and keeps the general plan
// only if that seems to cost no more. Therefore the planner must not see what makes one
// call cheaper than another: the size of a page, the number of projects, and which parts
// are empty. A sub-select hides a value, and so does a cast from text to an array.

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

// onlyActive reports whether a query is for active incidents, of which there are
// few.
func onlyActive(statuses []incident.Status) bool {
	return len(statuses) > 0 && !slices.ContainsFunc(statuses, func(s incident.Status) bool { return !s.Active() })
}

// listing is the statement of a query in the making.
type listing struct {
	*statement
	incident.IncidentQuery
	direction string

	limit         reference
	after, before place     // all places of the page are between these
	start         reference // of the window, if it has one

	// What rows are checked for. 0 where nothing is.
	title, statuses, projects, access reference
}

// place is an incident's place in a list.
type place struct{ started, identifier reference }

// addBounds adds the parameters that several parts of a list share.
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
	l.after = place{l.parameter(after), l.parameter(first)}
	l.before = place{l.parameter(before), l.parameter(last)}
	if !l.Start.IsZero() {
		l.start = l.parameter(l.Start)
	}
}

// allStatuses are those of the parts of a list by status. In the order of their parts.
var allStatuses = append(incident.ActiveStatuses(), incident.StatusClosed)

// statusArray returns the statuses as the text of an array, all where there are none.
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

// addBetween restricts a part to the places of the page.
func (l *listing) addBetween() {
	l.add(" AND (date_started, identifier) > (SELECT ?::timestamptz, ?::bigint)", l.after.started, l.after.identifier)
	l.add(" AND (date_started, identifier) < (SELECT ?::timestamptz, ?::bigint)", l.before.started, l.before.identifier)
}

// addFirst ends a part, whose rows are read one by one until the page is full. The
// literal is the largest page: without it, the planner expects a tenth of all rows.
func (l *listing) addFirst() {
	l.add("\n\tORDER BY date_started " + l.direction + ", identifier " + l.direction + "\n\tLIMIT 101")
}

// addPage orders the places of all parts and ends the page.
func (l *listing) addPage() {
	l.add("\n\tORDER BY date_started "+l.direction+", identifier "+l.direction+"\n\tLIMIT (SELECT ?::bigint)", l.limit)
}

// addStatusList merges the first places of each status's list, of the rule where
// one is given.
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
		// coalesce hides from the planner how rare the rows may be. Where it expects few
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

// accessArray is NULL for no restriction.
func accessArray(access *incident.ProjectAccess) any {
	if access == nil {
		return nil
	}
	return idArray(access.Projects)
}

// addProjectList merges the first places of each project's list. What is among the
// first of all is among the first of each project that it affects, so that no list
// has to be read further than a page. Where the query names no project, those are the
// projects of its access and, as one more part, the incidents that affect no project.
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

// addConditions adds those that the list of a project does not have.
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

// addChecked joins the incidents of p whose rows meet the conditions.
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

// isSubset reports whether every project is among others, which are sorted.
func isSubset(projects, others []incident.ProjectID) bool {
	return !slices.ContainsFunc(projects, func(p incident.ProjectID) bool {
		_, found := slices.BinarySearch(others, p)
		return !found
	})
}

// longestBefore is the longest duration of any closed incident before a time,
// which bounds how early one can have started that ended later. A day is added
// because the zone of the session decides how long one is. Durations for which
// there might be no such time have no bound.
const longestBefore = `(
		SELECT CASE
			WHEN max(date_closed - date_started) > interval '500000 days' THEN '-infinity'
			ELSE (SELECT ?::timestamptz) - coalesce(max(date_closed - date_started), interval '0') - interval '1 day'
		END
		FROM @incident
		WHERE organization_id = $1 AND date_closed IS NOT NULL
	)`

// oldestActive is when the first of the active incidents of each status started.
const oldestActive = `,
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 1),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 10),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 20)`
