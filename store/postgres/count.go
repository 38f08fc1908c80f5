package postgres

import (
	"context"
	"strconv"

	"github.com/incidentkit/incident"
)

// closedLiteral is the literal of the status of closed incidents.
var closedLiteral = strconv.Itoa(int(incident.StatusClosed))

// CountIncidents implements [incident.IncidentStore]. It reads these lists, each until the
// limit:
//
//   - of active incidents the lists in incident_active, once for all statuses, or that of each status
//   - of closed incidents the list of a label, the list of each project, or the list of the
//     status
func (s *Store) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	q.After, q.Reverse = nil, false
	l := s.listing(q, incident.MaxCount+1, true)
	l.addCounts()
	return query(ctx, s, "count incidents", l.statement, func(rows rowSet) (map[incident.Status]int, error) {
		counts := make(map[incident.Status]int, len(allStatuses))
		var status incident.Status
		var n int
		err := scanEach(rows, func() {
			if n > 0 {
				counts[status] = n
			}
		}, integer(&status), integer(&n))
		return counts, err
	})
}

func (l *listing) addCounts() {
	byStatus, byLabel := l.isByStatus(), l.isByLabel()
	var driving []incident.ProjectID
	projects, access := l.Projects, l.Access
	if !byStatus && !byLabel {
		driving, _ = l.driving()
	}
	l.addConditionParameters(projects, access)
	if l.hasActiveLists() {
		l.addWalked()
	}
	for i, status := range allStatuses {
		if i > 0 {
			l.add("\nUNION ALL ")
		}
		l.add("SELECT " + strconv.Itoa(int(status)) + "::bigint, count(*) FROM (SELECT FROM (")
		switch {
		case status.Active() && l.hasActiveLists():
			l.addWalkedCount(strconv.Itoa(int(status)))
		case byStatus || status.Active():
			l.add("(SELECT")
			l.addStatusPart(status)
			l.add(")")
		case byLabel:
			l.addLabelPart()
		default:
			l.addProjectParts(driving)
		}
		l.add("\n) first LIMIT (SELECT ?::bigint)) counted", l.limit)
	}
}
