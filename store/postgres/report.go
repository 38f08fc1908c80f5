package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.ReportStore = (*Store)(nil)

// A report is one statement, so that all its numbers are of one snapshot. Each kind of event has a
// part, which finds the incidents as a list does:
//
//   - openings, by the start
//   - closings, by the longest duration before the report
//   - acknowledgements, by the date of the activity. The primary key tells whether an incident has
//     an earlier one
//   - active incidents, by the status, and those that were closed since by the longest duration
//
// A sum is numeric, because durations may exceed a bigint together.

// Report implements [incident.ReportStore].
func (s *Store) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	r := s.reporting(&q)
	r.addOpenings()
	r.addAcknowledgements()
	r.addClosings()
	r.addActive()
	return query(ctx, s, "report", r.statement, func(rows rowSet) (incident.ReportNumbers, error) {
		return readReport(rows, len(q.Bounds)-1)
	})
}

// kindOfNumbers tells the rows of a report's parts apart.
type kindOfNumbers int64

const (
	openedNumbers kindOfNumbers = iota
	acknowledgedNumbers
	closedNumbers
	activeNumbers
)

// wholeReport is the period of the numbers of the whole time.
const wholeReport = -1

func readReport(rows rowSet, periods int) (incident.ReportNumbers, error) {
	n := incident.ReportNumbers{Periods: make([]incident.PeriodNumbers, periods), Active: map[incident.Status]int{}}
	var kind kindOfNumbers
	var place int // a period, or a status
	var d incident.DurationNumbers
	err := scanEach(rows, func() {
		period := &n.Total
		if kind != activeNumbers && place != wholeReport {
			period = &n.Periods[place]
		}
		switch kind {
		case openedNumbers:
			period.Opened = d.Count
			n.Total.Opened += d.Count
		case acknowledgedNumbers:
			period.Acknowledged = d
		case closedNumbers:
			period.Closed = d
		case activeNumbers:
			if status := incident.Status(place); status.Active() {
				n.Active[status] = d.Count
			}
		}
	}, integer(&kind), integer(&place), integer(&d.Count), integer(&d.Mean), integer(&d.Median), integer(&d.P95))
	return n, err
}

// reporting assembles the statement of a report.
type reporting struct {
	*listing
	first, last, bounds reference
}

func (s *Store) reporting(q *incident.ReportQuery) *reporting {
	r := &reporting{listing: &listing{statement: s.statement(string(q.OrganizationID)), IncidentQuery: q.Incidents()}}
	r.first = r.parameter(q.Bounds[0])
	r.last = r.parameter(q.Bounds[len(q.Bounds)-1])
	r.bounds = r.parameter(timeArray(q.Bounds))
	switch {
	case len(r.Projects) > 0 || r.Access != nil || r.isByLabel():
		r.addConditionParameters(r.Projects, r.Access)
	case r.AlertRuleID != "":
		r.rule = r.parameter(string(r.AlertRuleID))
	}
	return r
}

// timeArray returns times as the text of an array.
func timeArray(times []time.Time) string {
	text := []byte{'{'}
	for i, t := range times {
		if i > 0 {
			text = append(text, ',')
		}
		text = t.AppendFormat(text, time.RFC3339Nano)
	}
	return string(append(text, '}'))
}

// addRule restricts a part to the rule of the query.
func (r *reporting) addRule() {
	if r.AlertRuleID != "" {
		r.add(" AND alert_rule_id = ? AND alert_rule_id <> ''", r.rule)
	}
}

func (r *reporting) addOpenings() {
	r.add(`
SELECT 0::bigint, period, count(*), 0::bigint, 0::bigint, 0::bigint FROM (
	SELECT width_bucket(i.date_started, (SELECT ?::text::timestamptz[]))::bigint - 1 AS period`, r.bounds)
	r.addFrom(allOfThem, func() { r.add(" AND date_started >= (SELECT ?::timestamptz)", r.first) })
	r.add(`
) opened
GROUP BY period`)
}

// The durations of a part are summarized by period and together.
const (
	summarySQL = `, coalesce(period, -1), count(*), coalesce(div(sum(duration), count(*)), 0)::bigint,
	coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY duration), 0),
	coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY duration), 0)
FROM (
	SELECT `
	summarizedSQL = `
) events
GROUP BY GROUPING SETS ((period), ())`
)

func (r *reporting) addClosings() {
	r.add(`
UNION ALL SELECT 2::bigint`+summarySQL+`width_bucket(i.date_closed, (SELECT ?::text::timestamptz[]))::bigint - 1 AS period,
		(extract(epoch FROM i.date_closed - i.date_started) * 1000000)::bigint AS duration`, r.bounds)
	r.addFrom(closedOnly, func() { r.add(" AND date_started >= "+longestBefore, r.first) })
	r.add(" AND i.date_closed >= (SELECT ?::timestamptz) AND i.date_closed < (SELECT ?::timestamptz)"+summarizedSQL, r.first, r.last)
}

// addAcknowledgements finds the activities by incident_acknowledged. The sub-select of the first
// acknowledgement is no join, so that it reads the activities of single incidents.
func (r *reporting) addAcknowledgements() {
	r.add(`
UNION ALL SELECT 1::bigint`+summarySQL+`width_bucket(a.date_added, (SELECT ?::text::timestamptz[]))::bigint - 1 AS period,
		greatest((extract(epoch FROM a.date_added - i.date_started) * 1000000)::bigint, 0) AS duration
	FROM @incident_activity a
	CROSS JOIN LATERAL (
		SELECT date_started FROM @incident WHERE organization_id = $1 AND identifier = a.identifier`, r.bounds)
	r.addRule()
	r.addConditions()
	r.add(`
		OFFSET 0
	) i
	WHERE a.organization_id = $1 AND a.type = 100
		AND a.date_added >= (SELECT ?::timestamptz) AND a.date_added < (SELECT ?::timestamptz)
		AND a.sequence = (
			SELECT sequence FROM @incident_activity
			WHERE organization_id = $1 AND identifier = a.identifier AND type = 100
			ORDER BY sequence
			LIMIT 1
		)`+summarizedSQL, r.first, r.last)
}

// addActive counts the incidents by the status that they had at the end. Some were closed then.
func (r *reporting) addActive() {
	r.add(`
UNION ALL SELECT 3::bigint, status, count(*), 0::bigint, 0::bigint, 0::bigint FROM (
	SELECT coalesce((
		SELECT previous_value FROM @incident_activity
		WHERE organization_id = $1 AND identifier = found.identifier AND type = 2 AND date_added >= (SELECT ?::timestamptz)
		ORDER BY sequence
		LIMIT 1
	), status)::bigint AS status
	FROM (
	SELECT i.identifier, i.status`, r.last)
	r.addStatusRows(activeOnly, func() {})
	r.add(` UNION ALL
	SELECT i.identifier, i.status`)
	r.addFrom(closedOnly, func() { r.add(" AND date_started >= "+longestBefore, r.last) })
	r.add(` AND i.date_closed >= (SELECT ?::timestamptz)
	) found
) active
GROUP BY status`, r.last)
}

// The statuses of a part.
const (
	allOfThem  = "{1,2,10,20}"
	activeOnly = "{1,10,20}"
	closedOnly = "{2}"
)

// addFrom adds the incidents of the query with a status that started before the last bound. since
// adds the condition that they started at some time or later. Further conditions can follow.
func (r *reporting) addFrom(statuses string, since func()) {
	if r.isByStatus() {
		r.addStatusRows(statuses, since)
		return
	}
	r.add(`
	FROM (`)
	if r.isByLabel() {
		r.addLabelRows(func() {})
		r.addStarted(since)
	} else {
		r.addProjectRows(since)
	}
	r.add(`
	) place
	CROSS JOIN LATERAL (
		SELECT identifier, status, date_started, date_closed
		FROM @incident
		WHERE organization_id = $1 AND identifier = place.identifier`)
	r.addConditions()
	r.add(`
		OFFSET 0
	) i
	WHERE i.status = ANY ('` + statuses + `'::smallint[])`)
}

// addStatusRows is addFrom by the lists of statuses, whatever the conditions.
func (r *reporting) addStatusRows(statuses string, since func()) {
	r.add(`
	FROM @incident i
	WHERE organization_id = $1 AND status = ANY ('` + statuses + `'::smallint[])`)
	r.addRule()
	r.addStarted(since)
	r.addConditions()
}

// addStarted restricts a part by the start.
func (r *reporting) addStarted(since func()) {
	since()
	r.add(" AND date_started < (SELECT ?::timestamptz)", r.last)
}

// addProjectRows adds the places of the incidents of each project, and of those that affect no
// project unless the query names projects.
func (r *reporting) addProjectRows(since func()) {
	projects, _ := r.driving()
	r.add(`
	SELECT DISTINCT identifier FROM (
		SELECT p.identifier FROM unnest((SELECT ?::text[])) AS wanted (project)
		CROSS JOIN LATERAL (
			SELECT identifier FROM @incident_project
			WHERE organization_id = $1 AND project_id = wanted.project`, idArray(projects))
	r.addStarted(since)
	r.add(`
			OFFSET 0
		) p`)
	if len(r.Projects) == 0 {
		r.add(`
		UNION ALL
		SELECT identifier FROM @incident WHERE organization_id = $1 AND projects = '{}'`)
		r.addStarted(since)
	}
	r.add(`
	) found`)
}
