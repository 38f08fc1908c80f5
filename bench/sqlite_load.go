package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/store/sqlite"
)

// loadSQL makes a table with a row for each incident of an organization: the incidents that
// internal/pgload makes in PostgreSQL.
const loadSQL = `
INSERT INTO temp.loads
WITH RECURSIVE
	numbers AS (SELECT 1 AS identifier UNION ALL SELECT identifier + 1 FROM numbers WHERE identifier < ?2),
	dated AS (
		SELECT identifier, identifier % 50 = 0 AS active,
			CASE WHEN identifier % 50 > 0 THEN 2 WHEN identifier / 50 % 3 = 0 THEN 1 ELSE identifier / 50 % 3 * 10 END AS status,
			CASE WHEN identifier % 50 > 0 THEN 10 WHEN identifier / 50 % 3 = 0 THEN 1 ELSE identifier / 50 % 3 * 10 END AS opened,
			1704067200000000 + identifier * (730 * 86400000000 / ?2) AS started,
			CASE WHEN identifier % 997 = 0 THEN 30 * 86400000000 ELSE (identifier * 7919 % 240 + 1) * 60000000 END AS duration
		FROM numbers
	)
SELECT ?1, identifier, active, status, opened, started, CASE WHEN NOT active THEN started + duration END,
	CASE WHEN identifier % 3 > 0 THEN 'busy' ELSE 'rule-' || (identifier % 500) END,
	'query-' || identifier, printf('service-%02d', identifier % 14),
	printf('["all","project-%02d"', identifier % 14) || iif(?1 = 'org-000' AND identifier <= 5000, ',"steady"]', ']'),
	CASE WHEN identifier % 2 = 0 THEN 'The latency of checkout is high' ELSE 'Checkout answers with errors' END || ', again ' || identifier
FROM dated`

const loadsTableSQL = `
CREATE TEMP TABLE loads (
	org TEXT, identifier INTEGER, active INTEGER, status INTEGER, opened INTEGER, started INTEGER, closed INTEGER,
	rule TEXT, query TEXT, service TEXT, projects TEXT, title TEXT
)`

// sqliteTables fill the tables from an organization's incidents.
var sqliteTables = []string{
	`INSERT INTO incident_organization SELECT org, max(identifier) FROM loads GROUP BY org`,
	`INSERT INTO incident (organization_id, identifier, version, activities, changed, type, status, status_method,
		date_started, date_detected, date_added, date_closed, title, title_folded, alert_rule_id, query_id, projects, optional)
	SELECT org, identifier, 2 - active, 5 - active, 0, 2, status, 3, started, started, started, closed, title, lower(title), rule, query,
		projects,
		CASE WHEN identifier % 2 = 1 THEN
			'{"response":{"assignee":"ada"},"labels":{"service":"' || service || '","team":"payments"}}' END
	FROM loads`,
	`INSERT INTO incident_project SELECT org, 'all', started, identifier FROM loads`,
	`INSERT INTO incident_project SELECT org, p.value, started, identifier FROM loads, json_each(projects) p
	WHERE p.value <> 'all' ORDER BY p.value, started`,
	`INSERT INTO incident_label SELECT org, digest, started, identifier FROM temp.digests d, loads l
	WHERE l.identifier % 2 = 1 AND d.service IN ('', l.service) ORDER BY digest, started`,
	`INSERT INTO incident_slot (organization_id, alert_rule_id, project_id, query_id, version, holder, last, changed)
	SELECT org, rule, p.value, query, 2 - active, active * identifier, identifier, 0 FROM loads, json_each(projects) p
	ORDER BY rule, p.value, query`,
	`INSERT INTO incident_activity (organization_id, identifier, sequence, revision, type, value, previous_value,
		date_added, notification_uuid, user_id, comment)
	SELECT org, identifier, s.key + 1, 0, s.value, CASE s.value WHEN 1 THEN opened WHEN 2 THEN status ELSE 0 END,
		CASE s.value WHEN 2 THEN opened ELSE 0 END, CASE s.value WHEN 2 THEN closed ELSE started END,
		unhex(printf('%012x7%03x8%015x', started / 1000, s.key, (identifier << 8) + ?1)),
		CASE s.value WHEN 3 THEN 'user-' || (identifier % 200) ELSE '' END,
		CASE s.value WHEN 3 THEN 'The last deploy did it, rolling back' ELSE '' END
	FROM loads, json_each('[4,1,3,3,2]') s WHERE s.value <> 2 OR NOT active`,
	`INSERT INTO incident_trigger SELECT org, identifier, 'threshold', 1 - active, opened, started, coalesce(closed, started) FROM loads
	WHERE opened > 1`,
	`INSERT INTO incident_subscription SELECT org, identifier, 'user-' || ((identifier + u.value) % 200), started FROM loads, json_each('[0,1]') u`,
	`INSERT INTO incident_seen SELECT org, identifier, 'user-' || ((identifier + u.value) % 200), started FROM loads, json_each('[0,1]') u`,
	`DELETE FROM loads`,
}

// load makes a file with n incidents, runs more statements, and returns a Manager on it. The file is on
// disk then: otherwise the system would write it beside the measurements.
func (f *files) load(ctx context.Context, n int, more ...string) (*loaded, error) {
	start := time.Now()
	path := f.path("loaded")
	store, err := sqlite.Open(ctx, path, nil) // makes the tables
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fillSQLite(ctx, path, n, more), flush(path)); err != nil {
		return nil, err
	}
	if store, err = sqlite.Open(ctx, path, nil); err != nil {
		return nil, err
	}
	f.closers = append(f.closers, store)
	m, err := incident.New(store, nil)
	fmt.Fprintf(os.Stderr, "loaded %d incidents in %s\n", n, time.Since(start).Round(time.Second))
	return newLoaded(m, n), err
}

// flush waits until a file is on disk. No connection may have the file open.
func flush(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// fillSQLite fills the tables of a file. Half of the incidents belong to the first organization.
func fillSQLite(ctx context.Context, path string, n int, more []string) error {
	pool, err := sqlx.ConnectContext(ctx, "sqlite",
		"file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-2000000)&_pragma=temp_store(MEMORY)")
	if err != nil {
		return err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	tx, err := pool.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it does nothing after the commit
	for _, text := range []string{loadsTableSQL, `CREATE TEMP TABLE digests (service TEXT, digest BLOB)`} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if err := loadDigests(ctx, tx); err != nil {
		return err
	}
	for org := range pgload.Organizations {
		count := n / 2
		if org > 0 {
			count = n / 2 / (pgload.Organizations - 1)
		}
		if _, err := tx.ExecContext(ctx, loadSQL, pgload.Org(org), count); err != nil {
			return err
		}
		for i, text := range sqliteTables {
			var args []any
			if i == 6 { // the UUIDs of activities contain the organization
				args = []any{org}
			}
			if _, err := tx.ExecContext(ctx, text, args...); err != nil {
				return fmt.Errorf("table %d: %w", i, err)
			}
		}
	}
	for _, text := range more {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// loadDigests writes the digests of the labels and the assignee, as the library computes them.
// Those without a service belong to all incidents.
func loadDigests(ctx context.Context, tx *sqlx.Tx) error {
	add := func(service string, parts ...string) error {
		var text []byte
		for _, part := range parts {
			text = append(append(text, byte(len(part))), part...)
		}
		sum := sha256.Sum256(text)
		_, err := tx.ExecContext(ctx, `INSERT INTO temp.digests VALUES (?, ?)`, service, sum[:])
		return err
	}
	if err := add("", "assignee", "ada"); err != nil {
		return err
	}
	if err := add("", "label", "team", "payments"); err != nil {
		return err
	}
	for i := range 14 {
		service := fmt.Sprintf("service-%02d", i)
		if err := add(service, "label", "service", service); err != nil {
			return err
		}
	}
	return nil
}
