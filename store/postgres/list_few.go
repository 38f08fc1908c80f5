package postgres

import (
	"strconv"

	"github.com/incidentkit/incident"
)

// Active incidents of a project or a label are found among the active incidents of the organization,
// which are checked one by one. If the project or the label has few incidents of any status, these
// are checked instead.

// maxFew is the most incidents that are few. So many places are read of each project or label first.
const maxFew = 100

// mayBeFew reports whether the query has a project or a label, whose incidents may be few.
func (l *listing) mayBeFew() bool {
	return l.AlertRuleID == "" && (len(l.Projects) > 0 || l.isByLabel())
}

// addFew adds a query with the incidents of the projects or of the label if they are few, an
// incident as often as it has one of the projects.
func (l *listing) addFew() {
	l.add(`WITH few AS MATERIALIZED (
	SELECT identifier FROM (`)
	if l.isByLabel() {
		l.addLabelRows(func() {})
	} else {
		l.add(`
	SELECT p.identifier
	FROM unnest((SELECT ?::text[])) AS wanted (project)
	CROSS JOIN LATERAL (
		SELECT identifier
		FROM @incident_project
		WHERE organization_id = $1 AND project_id = wanted.project
		LIMIT `+strconv.Itoa(maxFew+1)+`
	) p`, idArray(l.Projects))
	}
	l.add(`
	) place
	LIMIT ` + strconv.Itoa(maxFew+1) + `
), are_few AS MATERIALIZED (
	SELECT count(*) <= ` + strconv.Itoa(maxFew) + ` AS are FROM few
)
`)
}

// addFewRows adds the incidents that meet the conditions if they are few, of a status unless nil.
func (l *listing) addFewRows(status *incident.Status) {
	l.add(`
	FROM (SELECT DISTINCT identifier FROM few) p
	CROSS JOIN LATERAL (
		SELECT * FROM @incident WHERE organization_id = $1 AND identifier = p.identifier`)
	if status != nil {
		l.add(" AND status = " + strconv.Itoa(int(*status)))
	}
	l.addBetween(l.after, l.before)
	l.addRowConditions("status = ANY (?::text::smallint[]) AND ", l.statuses)
	l.add(`
		OFFSET 0
	) checked
	WHERE (SELECT are FROM are_few)`)
}
