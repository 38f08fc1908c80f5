package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.ReportStore = (*Store)(nil)

// Report implements [incident.ReportStore]. The incidents that were active during the report are
// read as a list is read, and the acknowledgements by their dates, in one snapshot. The rows have
// two or three numbers each, and are summarized here: SQLite has no percentiles.
func (s *Store) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	return read(ctx, s, "report", longSnapshot, func(ctx context.Context, session session) (incident.ReportNumbers, error) {
		r := reporting{session: session, query: &q, tally: incident.NewReportTally(q), end: q.Bounds[len(q.Bounds)-1]}
		if err := r.addIncidents(ctx); err != nil {
			return incident.ReportNumbers{}, err
		}
		if err := r.addAcknowledgements(ctx); err != nil {
			return incident.ReportNumbers{}, err
		}
		return r.tally.Numbers(), nil
	})
}

// reporting is a report in progress.
type reporting struct {
	session
	query *incident.ReportQuery
	tally *incident.ReportTally
	end   time.Time
}

// addIncidents adds the openings, the closings and the active incidents. Active incidents are few,
// but may have started any time before the report.
func (r *reporting) addIncidents(ctx context.Context) error {
	iq := r.query.Incidents()
	iq.Start, iq.End = r.query.Bounds[0], r.end
	l, err := newListing(ctx, r.session, iq)
	if err != nil {
		return err
	}
	l.from = l.closedFrom
	for _, status := range allStatuses {
		if status == incident.StatusClosed && !l.isByStatus() {
			return r.addClosed(ctx, l)
		}
		r.selectEvents(l)
		l.addStatusPart(status)
		if err := r.addEvents(ctx, l, nil); err != nil {
			return err
		}
	}
	return nil
}

// addClosed adds the closed incidents of a label or of projects. An incident may affect several
// projects.
func (r *reporting) addClosed(ctx context.Context, l *listing) error {
	if l.isByLabel() {
		digest, err := l.rarest(ctx)
		if err != nil {
			return err
		}
		return r.addPart(ctx, l, nil, func() { l.addLabelPart(digest) })
	}
	seen := map[int64]bool{}
	for _, project := range l.driving() {
		if err := r.addPart(ctx, l, seen, func() { l.addProjectPart(project) }); err != nil {
			return err
		}
	}
	if len(l.Projects) > 0 {
		return nil
	}
	return r.addPart(ctx, l, seen, l.addUnaffectingPart)
}

// addPart adds the closed incidents of a part.
func (r *reporting) addPart(ctx context.Context, l *listing, seen map[int64]bool, part func()) error {
	r.selectEvents(l)
	part()
	l.add(" AND i.status = ?", int(incident.StatusClosed))
	return r.addEvents(ctx, l, seen)
}

// statusAt is the status of an incident before the first change of the status at a time or later.
const statusAt = `coalesce((
	SELECT a.previous_value FROM incident_activity a
	WHERE a.organization_id = i.organization_id AND a.identifier = i.identifier AND +a.type = 2 AND a.date_added >= ?
	ORDER BY a.sequence
	LIMIT 1
), i.status)`

// selectEvents begins a statement with the columns that addEvents reads.
func (r *reporting) selectEvents(l *listing) {
	l.add(`SELECT i.identifier, i.date_started, i.date_closed, CASE
	WHEN i.date_started < ? AND coalesce(i.date_closed >= ?, 1) THEN `+statusAt+`
END`, micro(r.end), micro(r.end), micro(r.end))
}

// addEvents runs the statement of a part, and adds the events of its incidents except those in
// seen, which may be nil.
func (r *reporting) addEvents(ctx context.Context, l *listing, seen map[int64]bool) error {
	var identifier int64
	var started time.Time
	var closed *time.Time
	var status incident.Status
	return l.run(ctx, func() {
		if seen == nil || !seen[identifier] {
			r.tally.Opened(started)
			if closed != nil {
				r.tally.Closed(started, *closed)
			}
			r.tally.Active(status)
		}
		if seen != nil {
			seen[identifier] = true
		}
		closed, status = nil, 0
	}, integer(&identifier), instant(&started), optionalInstant(&closed), integer(&status))
}

// addAcknowledgements adds the first acknowledgements of the incidents.
func (r *reporting) addAcknowledgements(ctx context.Context) error {
	l, err := newListing(ctx, r.session, r.query.Incidents())
	if err != nil {
		return err
	}
	l.add(`SELECT i.date_started, a.date_added
FROM incident_activity a INDEXED BY incident_acknowledged
CROSS JOIN incident i ON i.organization_id = a.organization_id AND i.identifier = a.identifier
WHERE a.organization_id = ? AND a.type = 100 AND a.date_added >= ? AND a.date_added < ? AND NOT EXISTS (
	SELECT 1 FROM incident_activity e
	WHERE e.organization_id = a.organization_id AND e.identifier = a.identifier AND e.sequence < a.sequence AND +e.type = 100
)`, string(l.OrganizationID), micro(r.query.Bounds[0]), micro(r.end))
	if l.AlertRuleID != "" {
		l.add(" AND i.alert_rule_id = ?", string(l.AlertRuleID))
	}
	l.addConditions(0)
	var started, at time.Time
	return l.run(ctx, func() { r.tally.Acknowledged(started, at) }, instant(&started), instant(&at))
}
