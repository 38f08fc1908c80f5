package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// met lists the conditions that the rows of a part meet by themselves.
type met int

const (
	metStatus   met = 1 << iota // the status, and the start of the window
	metProjects                 // the projects of the query
)

// longestBefore is a time minus the longest duration of a closed incident: an incident that
// closed after the time cannot have started earlier.
const longestBefore = `?1 - coalesce((
	SELECT date_closed - date_started FROM incident
	WHERE organization_id = ?2 AND date_closed IS NOT NULL
	ORDER BY date_closed - date_started DESC LIMIT 1
), 0)`

// oldestActive is the earliest start of an active incident, or the greatest integer.
const oldestActive = `coalesce((
	SELECT min(oldest) FROM (
		SELECT (SELECT date_started FROM incident WHERE organization_id = ?2 AND status = s.value ORDER BY date_started LIMIT 1) AS oldest
		FROM json_each('[1,10,20]') s
	)
), 9223372036854775807)`

// bound finds the earliest start that an incident in the window can have.
func (l *listing) bound(ctx context.Context) error {
	if l.Start.IsZero() {
		return nil
	}
	var closed, active int64
	_, err := queryOne(ctx, l.session, "SELECT "+longestBefore+", "+oldestActive,
		[]any{micro(l.Start), string(l.OrganizationID)}, integer(&closed), integer(&active))
	l.closedFrom, l.from = closed, min(closed, active)
	return err
}

// addConditions adds the conditions of the query that a part does not meet by itself.
func (l *listing) addConditions(by met) {
	if l.Title != "" {
		l.add(" AND instr(i.title_folded, ?) > 0", l.Title)
	}
	if by&metStatus == 0 {
		if len(l.Statuses) > 0 {
			l.add(" AND i.status IN (SELECT value FROM json_each(?))", jsonOf(l.Statuses))
		}
		if !l.Start.IsZero() {
			l.add(" AND (i.date_closed IS NULL OR i.date_closed >= ?)", micro(l.Start))
		}
	}
	if len(l.Projects) > 0 && by&metProjects == 0 {
		l.add(" AND EXISTS (SELECT 1 FROM json_each(i.projects) e WHERE e.value IN (SELECT value FROM json_each(?)))", listOf(l.Projects))
	}
	if l.Access != nil {
		l.add(" AND (i.projects = '[]' OR EXISTS (SELECT 1 FROM json_each(i.projects) e WHERE e.value IN (SELECT value FROM json_each(?))))",
			listOf(l.Access.Projects))
	}
	// The plus keeps SQLite from joining the subqueries: it takes half a second to plan the join of 32.
	for _, d := range digestsOf(l.Labels, l.Assignee) {
		l.add(" AND +EXISTS (SELECT 1 FROM incident_label x WHERE x.organization_id = i.organization_id AND x.digest = ?"+
			" AND x.date_started = i.date_started AND x.identifier = i.identifier)", d)
	}
	if l.Acknowledged != nil {
		l.add(" AND (i.optional ->> '$.response.at' IS NOT NULL AND coalesce(i.optional ->> '$.response.until', 9223372036854775807) > ?) = ?",
			micro(l.Now), *l.Acknowledged)
	}
}

// addProjectPart adds the part of a project, without its first words.
func (l *listing) addProjectPart(project incident.ProjectID) {
	l.add(" FROM incident_project p CROSS JOIN incident i ON i.organization_id = p.organization_id AND i.identifier = p.identifier"+
		" WHERE p.organization_id = ? AND p.project_id = ?", string(l.OrganizationID), string(project))
	l.addWindow("p.")
	l.addConditions(metProjects)
}

// addUnaffectingPart adds the part of the incidents that affect no project, without its first
// words.
func (l *listing) addUnaffectingPart() {
	l.add(" FROM incident i INDEXED BY incident_unaffecting WHERE i.organization_id = ? AND i.projects = '[]'", string(l.OrganizationID))
	l.addWindow("i.")
	l.addConditions(0)
}

// addLabelPart adds the part of a label, or of an assignee, without its first words.
func (l *listing) addLabelPart(digest []byte) {
	l.add(" FROM incident_label p CROSS JOIN incident i ON i.organization_id = p.organization_id AND i.identifier = p.identifier"+
		" WHERE p.organization_id = ? AND p.digest = ?", string(l.OrganizationID), digest)
	l.addWindow("p.")
	l.addConditions(0)
}

// addWindow restricts the list of a project or a label to the bounds of the page, and to the
// starts that an incident in the window can have.
func (l *listing) addWindow(table string) {
	l.addBetween(table)
	if !l.Start.IsZero() {
		l.add(" AND "+table+"date_started >= ?", l.from)
	}
}

// mostCounted is how far the lists of labels are counted to find the rarest.
const mostCounted = 1000

// rarest returns the digest with the shortest list.
func (l *listing) rarest(ctx context.Context) (best []byte, err error) {
	digests := digestsOf(l.Labels, l.Assignee)
	if len(digests) == 1 {
		return digests[0], nil
	}
	fewest := mostCounted + 1
	for _, d := range digests {
		var n int
		_, err := queryOne(ctx, l.session,
			"SELECT count(*) FROM (SELECT 1 FROM incident_label WHERE organization_id = ? AND digest = ? LIMIT ?)",
			[]any{string(l.OrganizationID), d, fewest}, integer(&n))
		if err != nil {
			return nil, err
		}
		if best == nil || n < fewest {
			best, fewest = d, n
		}
	}
	return best, nil
}
