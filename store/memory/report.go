package memory

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.ReportStore = (*Store)(nil)

// Report implements [incident.ReportStore]. Writers wait until the events are collected, because
// the numbers are of one moment.
func (s *Store) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	tally := incident.NewReportTally(q)
	if err := s.collect(ctx, &q, tally); err != nil {
		return incident.ReportNumbers{}, err
	}
	return tally.Numbers(), nil
}

// collect adds the events of a report to the tally.
func (s *Store) collect(ctx context.Context, q *incident.ReportQuery, tally *incident.ReportTally) error {
	if err := s.acquire(ctx, scan); err != nil {
		return err
	}
	defer s.release(scan)
	o := s.organizations[q.OrganizationID]
	if o == nil {
		return nil
	}
	conditions := q.Incidents()
	o.collectAcknowledgements(q, conditions, tally)

	// Active incidents may have started any time before the report.
	conditions.End = q.Bounds[len(q.Bounds)-1]
	active, closed := conditions, conditions
	active.Statuses = incident.ActiveStatuses()
	closed.Statuses, closed.Start = []incident.Status{incident.StatusClosed}, q.Bounds[0]
	for _, part := range []incident.IncidentQuery{active, closed} {
		w := walk{query: part, visit: func(inc *incident.Incident) { o.tally(inc, part.End, tally) }}
		for !w.run(o) {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// tally adds the events of an incident except its acknowledgement.
func (o *organization) tally(inc *incident.Incident, end time.Time, tally *incident.ReportTally) {
	tally.Opened(inc.DateStarted)
	if inc.DateClosed != nil {
		tally.Closed(inc.DateStarted, *inc.DateClosed)
	}
	if inc.DateStarted.Before(end) && (inc.DateClosed == nil || !inc.DateClosed.Before(end)) {
		tally.Active(o.get(inc.Identifier).statusAt(end.UnixMicro()))
	}
}

// statusAt returns the status before the first change of the status at a time or later.
func (r *record) statusAt(micro int64) incident.Status {
	for i := range r.activities {
		if a := &r.activities[i]; a.kind == int16(incident.ActivityTypeStatusChange) && a.added >= micro {
			return incident.Status(a.previous)
		}
	}
	return r.incident.Status
}

// collectAcknowledgements adds the first acknowledgements of the incidents that match.
func (o *organization) collectAcknowledgements(q *incident.ReportQuery, conditions incident.IncidentQuery, tally *incident.ReportTally) {
	end := q.Bounds[len(q.Bounds)-1].UnixMicro()
	it, found := o.acknowledged.after(listKey{started: q.Bounds[0].UnixMicro()}, true)
	for ; found && it.key().started < end; found = it.step(true) {
		if inc := &o.get(it.key().identifier).incident; matches(inc, conditions) {
			tally.Acknowledged(inc.DateStarted, timeOf(it.key().started))
		}
	}
}

// firstAcknowledgement returns the place of the incident in the list of first acknowledgements,
// if the acknowledgement is among the activities from a sequence on.
func (r *record) firstAcknowledgement(from int64) (k listKey, found bool) {
	acknowledges := func(a activity) bool { return a.kind == int16(incident.ActivityTypeAcknowledged) }
	earlier, later := r.activities[:from-1], r.activities[from-1:]
	i := slices.IndexFunc(later, acknowledges)
	if i < 0 || slices.ContainsFunc(earlier, acknowledges) {
		return k, false
	}
	return listKey{started: later[i].added, identifier: r.incident.Identifier}, true
}

// listAcknowledgement lists the incident if it was first acknowledged by the activities from a
// sequence on.
func (o *organization) listAcknowledgement(r *record, from int64) {
	if k, found := r.firstAcknowledgement(from); found {
		o.acknowledged.set(k)
	}
}

// unlistAcknowledgement is the reverse of listAcknowledgement.
func (o *organization) unlistAcknowledgement(r *record, from int64) {
	if k, found := r.firstAcknowledgement(from); found {
		o.acknowledged.delete(k)
	}
}
