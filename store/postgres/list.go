package postgres

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/incidentkit/incident"
)

// A list is merged from parts that an index has in order: a part for each status or for each
// project. The list of a label, or of an assignee, is a part by itself. The server reads no more
// of a part than a page needs, wherever the page begins.
// Conditions without an index are checked row by row: the rarer a title, the more of a list
// is read for it. Lists of projects are then read side by side: see addProjectSteps.
//
// There are few texts for all filters. An absent condition is sent as a value that every row
// meets, except the two that would slow an unfiltered list down: the rule, and, unless the
// list is that of a label, the start of the window.
//
// The server plans a prepared statement for its first values, and keeps a generic plan only
// if that seems to cost no more. Therefore the planner must not see why some calls are cheaper
// than others: the page size, the number of projects, the empty parts. A sub-select hides a
// value, and so does a cast from text to an array.

// Incidents implements [incident.IncidentStore].
func (s *Store) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	l := s.listing(q, incident.MaxPageSize+1, false)
	switch {
	case l.isByActive():
		l.addActiveList()
	case l.isByStatus():
		l.addStatusList()
	case l.isByLabel():
		l.addLabelList()
	default:
		l.addProjectList()
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

// isByStatus reports whether the list is merged from the lists of statuses.
func (l *listing) isByStatus() bool {
	return l.AlertRuleID != "" || onlyActive(l.Statuses) || !l.isByLabel() && len(l.Projects) == 0 && l.Access == nil
}

// isByLabel reports whether the list of a label, or of an assignee, has all matches.
func (l *listing) isByLabel() bool { return len(l.Labels) > 0 || l.Assignee != "" }

// onlyActive reports whether a query asks for active incidents only. Those are few.
func onlyActive(statuses []incident.Status) bool {
	return len(statuses) > 0 && !slices.ContainsFunc(statuses, func(s incident.Status) bool { return !s.Active() })
}

// listing assembles the statement of a query.
type listing struct {
	*statement
	incident.IncidentQuery
	conditions
	direction string
	most      string // the literal limit of a part
	counts    bool   // counts the incidents: a list other than that of a status has the closed incidents only

	limit         reference
	after, before listKey   // the exclusive bounds of the page
	start         reference // of the window, or 0
}

func (s *Store) listing(q incident.IncidentQuery, most int, counts bool) *listing {
	l := &listing{
		statement: s.statement(string(q.OrganizationID)), IncidentQuery: q, direction: "DESC", most: strconv.Itoa(most), counts: counts,
	}
	if q.Reverse {
		l.direction = "ASC"
	}
	l.addBounds()
	return l
}

// bound is an exclusive bound of the places of a part.
type bound interface {
	// addTo adds the condition that the place of a row compares to the bound by the operator.
	addTo(l *listing, operator string)
}

// listKey is a place in a list, by its sort key.
type listKey struct{ started, identifier reference }

func (k listKey) addTo(l *listing, operator string) {
	l.add(" AND (date_started, identifier) "+operator+" (SELECT ?::timestamptz, ?::bigint)", k.started, k.identifier)
}

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
	switch {
	case l.isByActive() && !l.counts: // active incidents are in every window that ends after their start
	case !l.Start.IsZero():
		l.start = l.parameter(l.Start)
	case l.counts || !l.isByStatus() && l.isByLabel():
		l.start = l.parameter("-infinity")
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

// addBetween restricts a part to the places between two bounds.
func (l *listing) addBetween(after, before bound) {
	after.addTo(l, ">")
	before.addTo(l, "<")
}

// addFirst ends a part. Its rows are read singly until the page is full. The literal is
// the largest page; without it the planner expects a tenth of all rows.
func (l *listing) addFirst() {
	l.add("\n\tORDER BY date_started " + l.direction + ", identifier " + l.direction + "\n\tLIMIT " + l.most)
}

// addPage orders the rows of all parts and limits them to the page.
func (l *listing) addPage() {
	l.add("\n\tORDER BY date_started "+l.direction+", identifier "+l.direction+"\n\tLIMIT (SELECT ?::bigint)", l.limit)
}

// addStatusList merges the first rows of each status, within the rule if the query names it.
func (l *listing) addStatusList() {
	l.addConditionParameters(l.Projects, l.Access)
	l.add("SELECT " + incidentColumns + " FROM (")
	for i, status := range allStatuses {
		if i > 0 {
			l.add("\n\tUNION ALL")
		}
		l.add("\n\t(SELECT *")
		l.addStatusPart(status)
		l.add(")")
	}
	l.add("\n) i")
	l.addPage()
}

// addStatusPart adds the part of a status without its first word.
func (l *listing) addStatusPart(status incident.Status) {
	literal := strconv.Itoa(int(status))
	l.add(` FROM @incident WHERE organization_id = $1 AND status = `+literal+` AND `+literal+` = ANY (?::text::smallint[])`, l.statuses)
	if l.AlertRuleID != "" {
		l.add(" AND alert_rule_id = ? AND alert_rule_id <> ''", l.rule)
	}
	l.addBetween(l.after, l.before)
	if l.start != 0 && status == incident.StatusClosed {
		l.add(" AND date_started >= "+longestBefore+" AND date_closed >= (SELECT ?::timestamptz)", l.start, l.start)
	}
	l.addRowConditions("")
	l.addFirst()
}

// accessArray returns the projects of access as an array, or NULL without a restriction.
func accessArray(access *incident.ProjectAccess) any {
	if access == nil {
		return nil
	}
	return idArray(access.Projects)
}

// addProjectList merges the first rows of each project.
func (l *listing) addProjectList() {
	projects, access := l.driving()
	if len(l.Statuses) > 0 || l.Title != "" || l.start != 0 || access != nil || l.Acknowledged != nil {
		l.addConditionParameters(nil, access)
	}
	l.add("SELECT " + incidentColumns + " FROM (")
	l.addProjectParts(projects)
	l.addPage()
	l.addPlaces()
}

// driving returns the projects whose lists have all matches, and the access that is to be
// checked for each row. If the query names no project, the parts are the projects of its
// access and the incidents that affect no project.
func (l *listing) driving() (projects []incident.ProjectID, access *incident.ProjectAccess) {
	switch {
	case len(l.Projects) == 0:
		return l.Access.Projects, nil
	case l.Access != nil && isSubset(l.Projects, l.Access.Projects):
		return l.Projects, nil
	}
	return l.Projects, l.Access
}

// addProjectParts adds the places of the first rows of each project. An incident on the page
// is also among the first rows of each project that it affects, so no project is read
// further than a page.
func (l *listing) addProjectParts(projects []incident.ProjectID) {
	if l.title != 0 {
		l.addProjectSteps(projects)
		return
	}
	l.add(`
	SELECT DISTINCT date_started, identifier FROM (
		SELECT found.* FROM unnest((SELECT ?::text[])) AS wanted (project)
		CROSS JOIN LATERAL (
			SELECT * FROM (
	SELECT p.date_started, p.identifier
	FROM @incident_project p
	WHERE organization_id = $1 AND project_id = wanted.project`, idArray(projects))
	l.addWindow()
	l.addFirst()
	l.add(") first")
	l.addPage()
	l.add(`
		) found
		UNION ALL (
	SELECT date_started, identifier
	FROM @incident
	WHERE organization_id = $1 AND projects = '{}' AND ?::text::boolean`, strconv.FormatBool(len(l.Projects) == 0))
	l.addBetween(l.after, l.before)
	l.addFirst()
	l.add(`)
	) found`)
}

// addLabelList reads the list of a label, or of the assignee.
func (l *listing) addLabelList() {
	l.addConditionParameters(l.Projects, l.Access)
	l.add("SELECT " + incidentColumns + " FROM (SELECT * FROM (")
	l.addLabelPart()
	l.add("\n\t) first")
	l.addPage()
	l.addPlaces()
}

// addLabelPart adds the places of the first rows of the rarest of the query's labels and
// assignee.
func (l *listing) addLabelPart() {
	l.addLabelRows(func() { l.addChecked(" AND date_started = p.date_started") })
	l.addWindow()
	l.addFirst()
}

// addLabelRows adds the places of the rarest of the query's labels and assignee. join adds a join.
func (l *listing) addLabelRows(join func()) {
	l.add(`
	SELECT p.date_started, p.identifier
	FROM @incident_label p`)
	join()
	l.add(`
	WHERE organization_id = $1 AND digest = (`)
	l.addRarest("incident_label")
	l.add(`
	)`)
}

// addRarest adds a query with the label or assignee that has the fewest rows in a table, as its
// digest. The server counts up to 1,000 rows of each.
func (l *listing) addRarest(table string) {
	digests := l.parameter(digestsOf(l.Labels, l.Assignee))
	l.add(`
		SELECT wanted.digest
		FROM unnest((SELECT ?::uuid[])) AS wanted (digest)
		ORDER BY CASE cardinality((SELECT ?::uuid[])) WHEN 1 THEN 0 ELSE (
			SELECT count(*) FROM (
				SELECT FROM @`+table+` WHERE organization_id = $1 AND digest = wanted.digest LIMIT 1000
			) counted
		) END
		LIMIT 1`, digests, digests)
}

// addWindow restricts the list of a project or a label to the bounds of the page, and to the
// starts that an incident in the window can have.
func (l *listing) addWindow() {
	l.addBetween(l.after, l.before)
	if l.start != 0 {
		l.add(" AND date_started >= "+earliestInWindow, l.start)
	}
}

// addPlaces ends the statement of a list of places, with their incidents.
func (l *listing) addPlaces() {
	l.add(`
) place
CROSS JOIN LATERAL (
	SELECT * FROM @incident WHERE organization_id = $1 AND identifier = place.identifier OFFSET 0
) i
ORDER BY place.date_started ` + l.direction + `, place.identifier ` + l.direction)
}

// addChecked joins the incidents of p that meet the conditions.
func (l *listing) addChecked(also string) {
	l.add(`
	CROSS JOIN LATERAL (
		SELECT FROM @incident WHERE organization_id = $1 AND identifier = p.identifier` + also)
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
