package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// slowestReport is the limit of how much more time a report may take than bare statements for the
// same numbers.
const slowestReport = 1.5

// acknowledgeSQL adds acknowledgements of two thirds of the incidents. Some were withdrawn, and
// repeated.
const acknowledgeSQL = `
INSERT INTO %[1]s.incident_activity (organization_id, identifier, sequence, revision, call_id,
	type, value, previous_value, date_added, notification_uuid, user_id, comment)
SELECT organization_id, identifier, activities + n, 0, 0, 100, 0, 0,
	date_started + (identifier * 31 %% 50 + n * 20) * interval '1 minute', gen_random_uuid(), 'ada', ''
FROM %[1]s.incident, generate_series(1, 2) n
WHERE identifier %% 3 > 0 AND (n = 1 OR identifier %% 10 = 0)`

// bareReport are the statements that a host would write for the numbers of a report: openings,
// closings and first acknowledgements by day with their durations, and the active incidents by the
// status at the end.
var bareReport = []string{
	`SELECT date_trunc('day', date_started, 'UTC') AS day, count(*)
	FROM %[1]s.incident
	WHERE organization_id = $1 AND date_started >= $2 AND date_started < $3
	GROUP BY 1`,

	`SELECT date_trunc('day', date_closed, 'UTC') AS day, count(*), avg(date_closed - date_started)::text,
		percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY date_closed - date_started)::text
	FROM %[1]s.incident
	WHERE organization_id = $1 AND date_closed >= $2 AND date_closed < $3
	GROUP BY ROLLUP (1)`,

	`SELECT date_trunc('day', a.date_added, 'UTC') AS day, count(*), avg(a.date_added - i.date_started)::text,
		percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY a.date_added - i.date_started)::text
	FROM %[1]s.incident i
	JOIN %[1]s.incident_activity a USING (organization_id, identifier)
	WHERE organization_id = $1 AND a.type = 100 AND a.date_added >= $2 AND a.date_added < $3 AND NOT EXISTS (
		SELECT FROM %[1]s.incident_activity e
		WHERE e.organization_id = $1 AND e.identifier = a.identifier AND e.type = 100 AND e.sequence < a.sequence
	)
	GROUP BY ROLLUP (1)`,

	`SELECT coalesce((
		SELECT previous_value FROM %[1]s.incident_activity a
		WHERE a.organization_id = $1 AND a.identifier = i.identifier AND a.type = 2 AND a.date_added >= $2
		ORDER BY a.sequence
		LIMIT 1
	), status) AS status, count(*)
	FROM %[1]s.incident i
	WHERE organization_id = $1 AND date_started < $2 AND (date_closed IS NULL OR date_closed >= $2)
	GROUP BY 1`,
}

// bareNumbers returns a call of the bare statements, which are prepared.
func bareNumbers(ctx context.Context, db *sqlx.DB, schema string, f incident.ReportFilter) (func(int, int) error, error) {
	var all []*sqlx.Stmt
	for _, text := range bareReport {
		stmt, err := db.PreparexContext(ctx, fmt.Sprintf(text, schema))
		if err != nil {
			return nil, err
		}
		all = append(all, stmt)
	}
	return func(int, int) error {
		for i, stmt := range all {
			args := []any{string(f.OrganizationID), f.Start, f.End}
			if i == len(all)-1 {
				args = []any{string(f.OrganizationID), f.End}
			}
			if err := drain(stmt.QueryxContext(ctx, args...)); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// drain reads all rows of a query.
func drain(rows *sqlx.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
		if _, err := rows.SliceScan(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// numbers compares a report with bare statements.
func (b *bench) numbers(ctx context.Context) error {
	s, err := startServer(scaleSettings)
	if err != nil {
		return err
	}
	defer s.Stop()
	m, db, opts, err := s.manager(ctx)
	if err != nil {
		return err
	}
	if err := load(ctx, db, opts.Schema, large); err != nil {
		return err
	}
	for _, command := range []string{fmt.Sprintf(acknowledgeSQL, opts.Schema), "VACUUM ANALYZE"} {
		if _, err := db.ExecContext(ctx, command); err != nil {
			return err
		}
	}
	start := time.Date(2025, time.June, 1, 0, 0, 0, 0, time.UTC)
	f := incident.ReportFilter{OrganizationID: newLoaded(m, large).org, Start: start, End: start.AddDate(0, 0, 90)}
	bare, err := bareNumbers(ctx, db, opts.Schema, f)
	if err != nil {
		return err
	}
	r, err := m.Report(ctx, f)
	if err != nil {
		return err
	}
	b.begin("Reports", fmt.Sprintf("90 days of an organization with half of 1,000,000 incidents: %d openings, %d acknowledgements and %d "+
		"closings. The peer is four statements for the same numbers over the same tables and indexes.",
		r.Total.Opened, r.Total.Acknowledged.Count, r.Total.Closed.Count))
	result, err := callByCall(comparison{
		ours:       &side{name: "Report of 90 days", call: func(int, int) error { return only(m.Report(ctx, f)) }},
		theirs:     &side{name: "bare statements", call: bare},
		goroutines: 1, bar: 1 / slowestReport,
	}, b.rounds)
	if err == nil {
		b.add(result)
	}
	return err
}

// callByCall measures calls that take about a second. The sides take turns call by call, after a
// call each that does not count.
func callByCall(c comparison, rounds int) (result, error) {
	r := result{comparison: c}
	for i := range rounds + 1 {
		var rates [2]float64
		for n, s := range []*side{c.ours, c.theirs} {
			begun := time.Now()
			if err := s.call(0, i); err != nil {
				return r, fmt.Errorf("%s: %w", s.name, err)
			}
			rates[n] = 1 / time.Since(begun).Seconds()
		}
		if i > 0 {
			r.count(rates[0], rates[1])
		}
	}
	return r, nil
}
