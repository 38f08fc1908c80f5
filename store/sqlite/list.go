package sqlite

import (
	"cmp"
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// A list is merged from parts that an index has in order: a part for each status or for each
// project. The list of a label, or of an assignee, is a part by itself. No more of a part is
// read than a page needs, wherever the page begins. Conditions without an index are checked row
// by row: the rarer a title, the more of a list is read for it.

// Incidents implements [incident.IncidentStore].
func (s *Store) Incidents(ctx context.Context, iq incident.IncidentQuery) ([]incident.Incident, error) {
	return read(ctx, s, "incidents", longSnapshot, func(ctx context.Context, q session) ([]incident.Incident, error) {
		l, err := newListing(ctx, q, iq)
		switch {
		case err != nil:
			return nil, err
		case l.isByStatus():
			return l.byStatus(ctx)
		case l.isByLabel():
			return l.byLabel(ctx)
		case len(l.driving()) == 1 && len(l.Projects) > 0:
			return l.byProject(ctx)
		}
		return l.byProjects(ctx)
	})
}

// listing assembles the statement of a query. Its texts are few: an absent condition has no
// text, and a list of values is a single argument.
type listing struct {
	session
	incident.IncidentQuery
	sql  []byte
	args []any

	// The earliest starts of the incidents in the window, and of those that are closed.
	from, closedFrom int64
}

// newListing returns the listing of a query, with the bounds of its window.
func newListing(ctx context.Context, q session, iq incident.IncidentQuery) (*listing, error) {
	l := &listing{session: q, IncidentQuery: iq}
	return l, l.bound(ctx)
}

// add appends to the text of the statement, and to its arguments.
func (l *listing) add(text string, args ...any) {
	l.sql = append(l.sql, text...)
	l.args = append(l.args, args...)
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

// allStatuses are the statuses of a list's parts, in the order of the parts.
var allStatuses = append(incident.ActiveStatuses(), incident.StatusClosed)

// wantedStatuses returns the statuses of a query. None stands for all.
func (l *listing) wantedStatuses() []incident.Status {
	if len(l.Statuses) == 0 {
		return allStatuses
	}
	return l.Statuses
}

// order orders by date_started and identifier, the columns of table.
func (l *listing) order(table string) string {
	if l.Reverse {
		return " ORDER BY " + table + "date_started, " + table + "identifier"
	}
	return " ORDER BY " + table + "date_started DESC, " + table + "identifier DESC"
}

// byStatus merges the first rows of each status, within the rule if the query names it. SQLite
// reads each part in the order of its index, and no further than the page needs.
func (l *listing) byStatus(ctx context.Context) ([]incident.Incident, error) {
	for i, status := range l.wantedStatuses() {
		if i > 0 {
			l.add(" UNION ALL ")
		}
		l.add("SELECT " + incidentColumns)
		l.addStatusPart(status)
	}
	l.add(" ORDER BY 10 " + l.word() + ", 1 " + l.word()) // date_started, identifier
	l.add(" LIMIT ?", l.Limit)
	return l.readPage(ctx)
}

// word is the direction of the order.
func (l *listing) word() string {
	if l.Reverse {
		return "ASC"
	}
	return "DESC"
}

// addStatusPart adds the part of a status without its first words. It names the index: without
// an order SQLite would expect that the primary key costs less.
func (l *listing) addStatusPart(status incident.Status) {
	index := "incident_list"
	if l.AlertRuleID != "" {
		index = "incident_rule"
	}
	l.add(" FROM incident i INDEXED BY "+index+" WHERE i.organization_id = ? AND i.status = ?", string(l.OrganizationID), int(status))
	if l.AlertRuleID != "" {
		l.add(" AND i.alert_rule_id = ? AND i.alert_rule_id <> ''", string(l.AlertRuleID))
	}
	l.addBetween("i.")
	if !l.Start.IsZero() && status == incident.StatusClosed {
		l.add(" AND i.date_started >= ? AND i.date_closed >= ?", l.closedFrom, micro(l.Start))
	}
	l.addConditions(metStatus)
}

// addBetween restricts a part to the bounds of the page and to starts before the end of the
// window.
func (l *listing) addBetween(table string) {
	if p := l.After; p != nil {
		sign := "<"
		if l.Reverse {
			sign = ">"
		}
		l.add(" AND ("+table+"date_started, "+table+"identifier) "+sign+" (?, ?)", micro(p.DateStarted), p.Identifier)
	}
	if !l.End.IsZero() {
		l.add(" AND "+table+"date_started <= ?", micro(l.End))
	}
}

// byProject reads the list of the only project.
func (l *listing) byProject(ctx context.Context) ([]incident.Incident, error) {
	l.add("SELECT " + incidentColumns)
	l.addProjectPart(l.Projects[0])
	l.add(l.order("p."))
	l.add(" LIMIT ?", l.Limit)
	return l.readPage(ctx)
}

// byLabel reads the list of the rarest of the query's labels and assignee.
func (l *listing) byLabel(ctx context.Context) ([]incident.Incident, error) {
	digest, err := l.rarest(ctx)
	if err != nil {
		return nil, err
	}
	l.add("SELECT " + incidentColumns)
	l.addLabelPart(digest)
	l.add(l.order("p."))
	l.add(" LIMIT ?", l.Limit)
	return l.readPage(ctx)
}

// driving returns the projects whose lists have all matches, beside the incidents that affect
// no project if the query names no project.
func (l *listing) driving() []incident.ProjectID {
	if len(l.Projects) > 0 {
		return l.Projects
	}
	return l.Access.Projects
}

// byProjects merges the first rows of each project and, if the query names none, of the
// incidents that affect no project. An incident on the page is among the first rows of each
// project that it affects.
func (l *listing) byProjects(ctx context.Context) ([]incident.Incident, error) {
	var places []incident.Position
	collect := func() error {
		l.add(" LIMIT ?", l.Limit)
		var p incident.Position
		err := l.run(ctx, func() { places = append(places, p) }, instant(&p.DateStarted), integer(&p.Identifier))
		return err
	}
	for _, project := range l.driving() {
		l.add("SELECT p.date_started, p.identifier")
		l.addProjectPart(project)
		l.add(l.order("p."))
		if err := collect(); err != nil {
			return nil, err
		}
		places = l.firstOf(places)
	}
	if len(l.Projects) == 0 {
		l.add("SELECT i.date_started, i.identifier")
		l.addUnaffectingPart()
		l.add(l.order("i."))
		if err := collect(); err != nil {
			return nil, err
		}
		places = l.firstOf(places)
	}
	page := make([]incident.Incident, 0, len(places))
	for _, p := range places {
		inc, err := loadRow(ctx, l, incident.Key{OrganizationID: l.OrganizationID, Identifier: p.Identifier})
		if err != nil {
			return nil, err
		}
		page = append(page, inc)
	}
	return page, nil
}

// firstOf returns the first places of the page, without repetitions.
func (l *listing) firstOf(places []incident.Position) []incident.Position {
	slices.SortFunc(places, func(a, b incident.Position) int {
		c := cmp.Or(a.DateStarted.Compare(b.DateStarted), cmp.Compare(a.Identifier, b.Identifier))
		if l.Reverse {
			return c
		}
		return -c
	})
	places = slices.Compact(places)
	return places[:min(len(places), l.Limit)]
}

// run runs the statement, and forgets it.
func (l *listing) run(ctx context.Context, each func(), dest ...column) error {
	text, args := string(l.sql), l.args
	l.sql, l.args = l.sql[:0], nil
	return queryEach(ctx, l.session, text, args, each, dest...)
}

// readPage reads a page of incidents.
func (l *listing) readPage(ctx context.Context) ([]incident.Incident, error) {
	page := make([]incident.Incident, 0, l.Limit)
	var inc incident.Incident
	dest := scanIncident(l.OrganizationID, &inc)
	json := len(dest) - 1
	err := l.run(ctx, func() {
		page = append(page, inc)
		inc = incident.Incident{}
		dest[json] = optional(&inc)
	}, dest...)
	return page, err
}
