package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// sqliteAcknowledgeSQL adds the acknowledgements of acknowledgeSQL.
const sqliteAcknowledgeSQL = `
INSERT INTO incident_activity (organization_id, identifier, sequence, revision, type, value, previous_value, date_added,
	notification_uuid, user_id, comment)
SELECT organization_id, identifier, activities + n.value, 0, 100, 0, 0,
	date_started + (identifier * 31 % 50 + n.value * 20) * 60000000, randomblob(16), 'ada', ''
FROM incident, json_each('[1,2]') n
WHERE identifier % 3 > 0 AND (n.value = 1 OR identifier % 10 = 0)`

// sqliteDurations summarizes a select of days and durations: by day, and in all. SQLite has no
// percentiles.
func sqliteDurations(source string) string {
	return `WITH durations AS MATERIALIZED (` + source + `), ranked AS (
		SELECT day, took, row_number() OVER (PARTITION BY day ORDER BY took) AS place, count(*) OVER (PARTITION BY day) AS n FROM durations
		UNION ALL
		SELECT -1, took, row_number() OVER (ORDER BY took), count(*) OVER () FROM durations
	)
	SELECT day, count(*), avg(took), min(took) FILTER (WHERE place >= 0.5 * n), min(took) FILTER (WHERE place >= 0.95 * n)
	FROM ranked
	GROUP BY day`
}

// sqliteBareReport are the statements of bareReport in SQLite. A host that knows its longest incident
// bounds the starts of those that closed, so that the index of lists finds them.
var sqliteBareReport = []string{
	`SELECT date_started / 86400000000 AS day, count(*) FROM incident
	WHERE organization_id = ?1 AND status IN (1, 2, 10, 20) AND date_started >= ?2 AND date_started < ?3
	GROUP BY 1`,

	sqliteDurations(`SELECT date_closed / 86400000000 AS day, date_closed - date_started AS took
	FROM incident INDEXED BY incident_list
	WHERE organization_id = ?1 AND status = 2 AND date_started >= ?2 - 30 * 86400000000 AND date_started < ?3
		AND date_closed >= ?2 AND date_closed < ?3`),

	sqliteDurations(`SELECT a.date_added / 86400000000 AS day, a.date_added - i.date_started AS took
	FROM incident_activity a INDEXED BY incident_acknowledged
	CROSS JOIN incident i ON i.organization_id = a.organization_id AND i.identifier = a.identifier
	WHERE a.organization_id = ?1 AND a.type = 100 AND a.date_added >= ?2 AND a.date_added < ?3 AND NOT EXISTS (
		SELECT 1 FROM incident_activity e
		WHERE e.organization_id = ?1 AND e.identifier = a.identifier AND e.sequence < a.sequence AND e.type = 100
	)`),

	`SELECT coalesce((
		SELECT previous_value FROM incident_activity a
		WHERE a.organization_id = ?1 AND a.identifier = i.identifier AND a.type = 2 AND a.date_added >= ?3
		ORDER BY a.sequence
		LIMIT 1
	), status) AS before, count(*)
	FROM incident i INDEXED BY incident_list
	WHERE organization_id = ?1 AND (
		status IN (1, 10, 20) AND date_started < ?3 OR status = 2 AND date_started >= ?3 - 30 * 86400000000 AND date_started < ?3 AND date_closed >= ?3
	)
	GROUP BY 1`,
}

// sqliteBareNumbers returns a call of the bare statements, which are prepared, on a connection that
// reads.
func (f *files) sqliteBareNumbers(ctx context.Context, path string, q incident.ReportFilter) (func(int, int) error, error) {
	pool, err := sqlx.ConnectContext(ctx, "sqlite", "file:"+path+"?_pragma=query_only(1)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-8192)")
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, pool)
	pool.SetMaxOpenConns(1)
	var all []*sqlx.Stmt
	for _, text := range sqliteBareReport {
		stmt, err := pool.PreparexContext(ctx, text)
		if err != nil {
			return nil, err
		}
		all = append(all, stmt)
	}
	return func(int, int) error {
		for _, stmt := range all {
			if err := drain(stmt.QueryxContext(ctx, string(q.OrganizationID), q.Start.UnixMicro(), q.End.UnixMicro())); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// sqliteNumbers compares a report with bare statements.
func (b *bench) sqliteNumbers(ctx context.Context) (err error) {
	f, err := newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	l, err := f.load(ctx, large, sqliteAcknowledgeSQL)
	if err != nil {
		return err
	}
	store, err := incident.StoreAs[*sqlite.Store](l.Manager)
	if err != nil {
		return err
	}
	start := time.Date(2025, time.June, 1, 0, 0, 0, 0, time.UTC)
	q := incident.ReportFilter{OrganizationID: l.org, Start: start, End: start.AddDate(0, 0, 90)}
	bare, err := f.sqliteBareNumbers(ctx, store.Path(), q)
	if err != nil {
		return err
	}
	r, err := l.Report(ctx, q)
	if err != nil {
		return err
	}
	b.begin("Reports, in SQLite", fmt.Sprintf("90 days of an organization with half of 1,000,000 incidents: %d openings, %d acknowledgements "+
		"and %d closings, in %s. The peer is four statements for the same numbers over the same tables and indexes, through the same driver.",
		r.Total.Opened, r.Total.Acknowledged.Count, r.Total.Closed.Count, filepath.Dir(f.folder)))
	result, err := callByCall(comparison{
		ours:       &side{name: "Report of 90 days, in SQLite", call: func(int, int) error { return only(l.Report(ctx, q)) }},
		theirs:     &side{name: "bare statements", call: bare},
		goroutines: 1, bar: 1 / slowestReport,
	}, b.rounds)
	if err == nil {
		b.add(result)
	}
	return err
}
