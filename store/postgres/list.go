package postgres

import (
	"context"
	"math/bits"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A list is merged from parts that are each in order already, in an index: one
// for each status or each project. The server reads no more of them than a page
// needs, wherever the page begins. Conditions that no index has are checked row by
// row on the way: the rarer a title is, the more of a list is read for it.

// Incidents implements [incident.IncidentStore].
func (s *Store) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	st := s.statement(string(q.OrganizationID))
	if q.AlertRuleID == "" && len(q.Projects) > 0 && !onlyActive(q.Statuses) {
		addProjectList(st, q)
	} else {
		addStatusList(st, q)
	}
	return query(ctx, s, "incidents", st, func(rows *sqlx.Rows) ([]incident.Incident, error) {
		page := make([]incident.Incident, 0, q.Limit)
		for rows.Next() && len(page) < q.Limit {
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

// addFirst adds that the first of a part of a list are wanted, or of the whole.
//
// The limit is a literal, because the server plans for a tenth of all rows where it
// does not know it. There are few of them, so that there are few statements; the
// rows beyond q.Limit are left unread.
func addFirst(st *statement, q incident.IncidentQuery, table string) {
	order, limit := "DESC", "101"
	if q.Reverse {
		order = "ASC"
	}
	switch {
	case q.Limit <= 11:
		limit = "11"
	case q.Limit <= incident.DefaultPageSize+1:
		limit = "26"
	}
	st.add("\n\tORDER BY " + table + "date_started " + order + ", " + table + "identifier " + order + "\n\tLIMIT " + limit)
}

// addStatusList merges the first places of each status's list, of the rule where
// one is given.
func addStatusList(st *statement, q incident.IncidentQuery) {
	statuses := q.Statuses
	if len(statuses) == 0 {
		statuses = append(incident.ActiveStatuses(), incident.StatusClosed)
	}
	st.add("SELECT " + incidentColumns + " FROM (")
	for i, status := range statuses {
		if i > 0 {
			st.add("\n\tUNION ALL")
		}
		st.add(`
	(SELECT * FROM @incident WHERE organization_id = $1 AND status = ` + statusLiteral(status))
		if q.AlertRuleID != "" {
			st.add(" AND alert_rule_id = ? AND alert_rule_id <> ''", string(q.AlertRuleID))
		}
		addPlace(st, q, "")
		if !q.Start.IsZero() && status == incident.StatusClosed {
			st.add(" AND date_started >= "+longestBefore+" AND date_closed >= ?", q.Start, q.Start)
		}
		if len(q.Projects) > 0 {
			// Without coalesce the server takes it for so rare that it sorts the whole list.
			st.add(" AND coalesce(projects && ?::text[], false)", idArray(q.Projects))
		}
		addTitle(st, q)
		addFirst(st, q, "")
		st.add(")")
	}
	st.add("\n) i")
	addFirst(st, q, "")
}

// statusLiteral lets the server see that a part of a merge is in order.
func statusLiteral(s incident.Status) string {
	switch s {
	case incident.StatusOpen:
		return "1"
	case incident.StatusClosed:
		return "2"
	case incident.StatusWarning:
		return "10"
	case incident.StatusCritical:
		return "20"
	}
	return "0" // which no incident has
}

// addProjectList merges the first places of each project's list. What is among the
// first of all is among the first of each project that it affects, so that no list
// has to be read further than a page.
func addProjectList(st *statement, q incident.IncidentQuery) {
	st.add("SELECT DISTINCT ON (date_started, identifier) " + incidentColumns + " FROM (")
	for i := range 1 << bits.Len(uint(len(q.Projects)-1)) {
		if i > 0 {
			st.add("\n\tUNION ALL")
		}
		var project any // a NULL fills up to the next power of two, so that there are few statements
		if i < len(q.Projects) {
			project = string(q.Projects[i])
		}
		st.add(`
	(SELECT i.*
	FROM @incident_project p
	CROSS JOIN LATERAL (
		SELECT * FROM @incident WHERE organization_id = $1 AND identifier = p.identifier`)
		addProjectRest(st, q)
		st.add(`
		OFFSET 0
	) i
	WHERE p.organization_id = $1 AND p.project_id = ?::text`, project)
		addPlace(st, q, "p.")
		if !q.Start.IsZero() {
			st.add(" AND p.date_started >= least("+longestBefore+oldestActive+")", q.Start)
		}
		addFirst(st, q, "p.")
		st.add(")")
	}
	st.add("\n) i")
	addFirst(st, q, "")
}

// addProjectRest adds the conditions that the list of a project does not have.
func addProjectRest(st *statement, q incident.IncidentQuery) {
	if len(q.Statuses) > 0 {
		literals := make([]string, len(q.Statuses))
		for i, status := range q.Statuses {
			literals[i] = statusLiteral(status)
		}
		st.add(" AND status IN (" + strings.Join(literals, ", ") + ")")
	}
	if !q.Start.IsZero() {
		st.add(" AND (date_closed IS NULL OR date_closed >= ?)", q.Start)
	}
	addTitle(st, q)
}

// addPlace adds where a part of a list begins and ends.
func addPlace(st *statement, q incident.IncidentQuery, table string) {
	if q.After != nil {
		behind := "<"
		if q.Reverse {
			behind = ">"
		}
		st.add(" AND ("+table+"date_started, "+table+"identifier) "+behind+" (?::timestamptz, ?::bigint)",
			q.After.DateStarted, q.After.Identifier)
	}
	if !q.End.IsZero() {
		st.add(" AND "+table+"date_started <= ?", q.End)
	}
}

// longestBefore is the longest duration of any closed incident before a time,
// which bounds how early one can have started that ended later. A day is added
// because the zone of the session decides how long one is. Durations for which
// there might be no such time have no bound.
const longestBefore = `(
		SELECT CASE
			WHEN max(date_closed - date_started) > interval '500000 days' THEN '-infinity'
			ELSE ?::timestamptz - coalesce(max(date_closed - date_started), interval '0') - interval '1 day'
		END
		FROM @incident
		WHERE organization_id = $1 AND date_closed IS NOT NULL
	)`

// oldestActive is when the first of the active incidents of each status started.
const oldestActive = `,
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 1),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 10),
		(SELECT min(date_started) FROM @incident WHERE organization_id = $1 AND status = 20)`

func addTitle(st *statement, q incident.IncidentQuery) {
	if q.Title != "" {
		st.add(" AND strpos(title_folded, ?) > 0", q.Title)
	}
}
