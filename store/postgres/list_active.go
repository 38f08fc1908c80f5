package postgres

import (
	"math"
	"strconv"

	"github.com/incidentkit/incident"
)

// Active incidents of projects, or of a label or an assignee, are listed by the table
// incident_active: see active.go. The list is merged from the first rows of each project, or of the
// rarest of the query's labels and assignee, and checks the status of each row. If few of 10,000 rows
// had the status, it would read them all. Therefore incidents with a status that is rare in the
// organization are found by the list of the status.

// maxRare is the most incidents of an organization with a rare status.
const maxRare = 200

// hasActiveLists reports whether incident_active has lists with all active matches.
func (l *listing) hasActiveLists() bool {
	return l.AlertRuleID == "" && (len(l.Projects) > 0 || l.isByLabel())
}

// isByActive reports whether the list is merged from lists in incident_active.
func (l *listing) isByActive() bool { return l.hasActiveLists() && onlyActive(l.Statuses) }

// addActiveList lists active incidents. Each row has a status of the query if these are all active.
func (l *listing) addActiveList() {
	l.addConditionParameters(l.Projects, l.Access)
	l.addWanted(len(l.Statuses) < len(incident.ActiveStatuses()))
	l.add(`
SELECT ` + incidentColumns + ` FROM (
	SELECT DISTINCT date_started, identifier FROM (
		SELECT found.* FROM wanted
		CROSS JOIN LATERAL (
			SELECT * FROM (
	SELECT p.date_started, p.identifier`)
	l.addActiveRows()
	l.add(`
		AND coalesce((SELECT true`)
	l.addChecks("")
	l.add("), false)")
	l.addFirst()
	l.add(") first")
	l.addPage()
	l.add(`
		) found
		UNION ALL (
	SELECT date_started, identifier`)
	l.addOutdated()
	l.addFirst()
	l.add(`)
		UNION ALL
	SELECT date_started, identifier`)
	l.addRare()
	l.add(`
	) found`)
	l.addPage()
	l.addPlaces()
}

// addWalked begins a statement with the statuses of the active incidents that meet the conditions: rare
// has those that the lists of rare statuses show, and walked, an incident once, those of common statuses,
// and NULL for an incident that does not meet the conditions. The server reads lists as far as the statement
// reads walked, once for all statuses.
//
// If the lists are long, most incidents of a status probably meet the conditions. So a status counts as rare
// if the first incidents of its list meet them as often as is counted. Each costs a third of a row of walked.
func (l *listing) addWalked() {
	l.addWantedDigests()
	l.add(`, crowded AS MATERIALIZED (
	SELECT count(*) > ` + strconv.Itoa(maxRare) + ` AS are FROM (
		SELECT FROM wanted
		CROSS JOIN LATERAL (
	SELECT`)
	l.addListed()
	l.add(`
		) listed
		LIMIT `+strconv.Itoa(maxRare+1)+`
	) counted
), counted AS MATERIALIZED (
	SELECT status, `+isCommonSQL+` AS is_common
	FROM unnest((SELECT ?::text::smallint[])) AS s (status)
	WHERE status <> 2
), rare AS MATERIALIZED (
	SELECT status
	FROM counted
	CROSS JOIN LATERAL (
		SELECT FROM (
			SELECT true`, l.statuses)
	l.addRowConditions("")
	l.add(` AS meets
			FROM @incident
			WHERE organization_id = (SELECT $1::text) AND status = counted.status`)
	l.addBetween(l.after, l.before)
	l.add(`
			ORDER BY date_started, identifier
			LIMIT `+strconv.Itoa(maxRare)+`
		) first
		WHERE meets
		LIMIT (SELECT ?::bigint)
	) met
	WHERE NOT is_common OR (SELECT are FROM crowded)
), common AS MATERIALIZED (
	SELECT coalesce(array_agg(status), '{}') AS statuses
	FROM counted
	WHERE is_common AND (SELECT count(*) FROM rare WHERE rare.status = counted.status) < (SELECT ?::bigint)
), walked AS MATERIALIZED (
	SELECT found.status FROM wanted
	CROSS JOIN LATERAL (
	SELECT (SELECT status`, l.limit, l.limit)
	l.addChecks(" AND NOT (projects && wanted.earlier)")
	l.add(") AS status")
	l.addActiveRows()
	l.add(`
	ORDER BY p.date_started, p.identifier
	LIMIT (SELECT ?::bigint)`, int64(math.MaxInt64)) // the limit keeps the planner from sorting the table
	l.add(`
	) found
	UNION ALL (
	SELECT status`)
	l.addOutdated()
	l.add(`)
)
`)
}

// addWalkedCount adds a row for each incident of walked or rare with a status.
func (l *listing) addWalkedCount(status string) {
	l.add("SELECT FROM rare WHERE status = " + status + " AND NOT " + status + commonSQL + `
UNION ALL SELECT FROM walked WHERE status = ` + status + " AND " + status + commonSQL)
}

// isCommonSQL is the condition of a status s that is not rare in the organization.
var isCommonSQL = `(
		SELECT count(*) FROM (
			SELECT FROM @incident
			WHERE organization_id = (SELECT $1::text) AND status = s.status
			ORDER BY date_started, identifier
			LIMIT ` + strconv.Itoa(maxRare+1) + `
		) counted
	) > ` + strconv.Itoa(maxRare)

// commonSQL is the condition of statuses that are not rare.
const commonSQL = ` = ANY ((SELECT statuses FROM common)::smallint[])`

// addWantedDigests begins a statement with the digests of the lists that are read. earlier has the projects
// of the digests before.
func (l *listing) addWantedDigests() {
	l.add("WITH wanted AS MATERIALIZED (")
	if l.isByLabel() {
		l.add("SELECT digest, '{}'::text[] AS earlier FROM (")
		l.addRarest("incident_active")
		l.add("\n) rarest")
	} else {
		projects := l.parameter(idArray(l.Projects))
		l.add(`
	SELECT digest, (?::text[])[:n - 1] AS earlier
	FROM unnest((SELECT ?::uuid[])) WITH ORDINALITY AS project (digest, n)`, projects, projectDigestsOf(l.Projects))
	}
	l.add("\n)")
}

// addWanted begins the statement of a list with the digests, and with those active statuses of the query
// that are common, or with all.
func (l *listing) addWanted(mayBeRare bool) {
	l.addWantedDigests()
	l.add(`, common AS MATERIALIZED (
	SELECT coalesce(array_agg(status), '{}') AS statuses
	FROM unnest((SELECT ?::text::smallint[])) AS s (status)
	WHERE status <> 2 AND CASE WHEN ?::boolean THEN `+isCommonSQL+` ELSE true END
)`, l.statuses, mayBeRare)
}

// addActiveRows adds the rows p of a wanted digest, none if no status is common.
func (l *listing) addActiveRows() {
	l.addListed()
	l.add(" AND (SELECT statuses FROM common) <> '{}'")
}

// addListed adds the rows p of a wanted digest.
func (l *listing) addListed() {
	l.add(`
	FROM @incident_active p
	WHERE organization_id = (SELECT $1::text) AND digest = wanted.digest`)
	l.addBetween(l.after, l.before)
}

// addChecks ends a query of the incident of p, which has a row if the incident meets the conditions
// and has a common status. Of a query in place of a join the planner keeps no rows for later.
func (l *listing) addChecks(also string) {
	l.add(`
		FROM @incident
		WHERE organization_id = (SELECT $1::text) AND identifier = p.identifier AND date_started = p.date_started` + also)
	l.addRowConditions(listedSQL + " AND status" + commonSQL + " AND ")
}

// addOutdated adds the outdated active incidents that meet the conditions and have a common status.
func (l *listing) addOutdated() {
	l.add(`
	FROM @incident
	WHERE organization_id = (SELECT $1::text) AND ` + outdatedActiveSQL)
	l.addBetween(l.after, l.before)
	l.addRowConditions("status" + commonSQL + " AND ")
}

// addRare adds the active incidents that meet the conditions and have a rare status.
func (l *listing) addRare() {
	l.add(`
	FROM unnest((SELECT ?::text::smallint[])) AS wanted_status (wanted)
	CROSS JOIN LATERAL (
		SELECT date_started, identifier, status
		FROM @incident
		WHERE organization_id = (SELECT $1::text) AND status = wanted`, l.statuses)
	l.addBetween(l.after, l.before)
	l.addRowConditions("")
	l.add(`
		ORDER BY date_started, identifier
		LIMIT ` + strconv.Itoa(maxRare) + `
	) rare
	WHERE wanted <> 2 AND NOT wanted` + commonSQL)
}
