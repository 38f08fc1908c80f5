// Package pgload fills the tables of store/postgres with the incidents of a large host,
// for tests of query plans and for benchmarks. [Load] is written in SQL and needs no
// Manager.
package pgload

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Organizations is the number of organizations. The first has half of all incidents.
const Organizations = 100

// Org returns the name of organization n, counted from 0.
func Org(n int) string { return fmt.Sprintf("org-%03d", n) }

// loadsSQL makes an unlogged table with a row for each incident to load. The window
// functions number the incidents of each organization and spread them evenly over two
// years.
const loadsSQL = `
CREATE UNLOGGED TABLE @loads AS
SELECT org, identifier, active, status, opened, started, CASE WHEN NOT active THEN started + duration END AS closed,
	CASE WHEN identifier % 3 > 0 THEN 'busy' ELSE 'rule-' || identifier % 500 END AS rule,
	'query-' || identifier AS query,
	'service-' || lpad((identifier % 14)::text, 2, '0') AS service,
	ARRAY['all', 'project-' || lpad((identifier % 14)::text, 2, '0')]
		|| CASE WHEN org = 'org-000' AND identifier <= 5000 THEN ARRAY['steady'] ELSE '{}' END AS projects,
	CASE WHEN identifier % 2 = 0 THEN 'The latency of checkout is high' ELSE 'Checkout answers with errors' END
		|| ', again ' || identifier AS title
FROM (
	SELECT org, identifier, identifier % 50 = 0 AS active,
		CASE WHEN identifier % 50 > 0 THEN 2 ELSE (ARRAY[1, 10, 20])[1 + identifier / 50 % 3] END AS status,
		CASE WHEN identifier % 50 > 0 THEN 10 ELSE (ARRAY[1, 10, 20])[1 + identifier / 50 % 3] END AS opened,
		timestamptz '2024-01-01Z' + identifier * (interval '730 days' / count(*) OVER (PARTITION BY org)) AS started,
		CASE WHEN identifier % 997 = 0 THEN interval '30 days' ELSE (identifier * 7919 % 240 + 1) * interval '1 minute' END AS duration
	FROM (
		SELECT 'org-' || lpad(org::text, 3, '0') AS org, row_number() OVER (PARTITION BY org ORDER BY i) AS identifier
		FROM (SELECT i, CASE WHEN i % 2 = 0 THEN 0 ELSE 1 + i / 2 % 99 END AS org FROM generate_series(1, ?::bigint) i) numbered
	) identified
) dated`

// Each statement fills a table. An incident was opened in its current status or, if
// closed, as a warning. It has two comments, a trigger unless its status is Open, and two
// subscribers who have also seen it. The UUIDs ascend, as in the library.
var tables = []string{
	`INSERT INTO @incident_organization (organization_id, incidents)
	SELECT org, max(identifier) FROM @loads GROUP BY org`,

	`INSERT INTO @incident (organization_id, identifier, version, activities, call_id, type, status, status_method,
		date_started, date_detected, date_added, date_closed, title, title_folded, alert_rule_id, query_id, projects, optional, listed)
	SELECT org, identifier, CASE WHEN active THEN 1 ELSE 2 END, CASE WHEN active THEN 4 ELSE 5 END, 0, 2, status, 3,
		started, started, started, closed, title, lower(title), rule, query, projects,
		CASE WHEN identifier % 2 = 1 THEN jsonb_build_object(
			'response', '{"assignee": "ada"}'::jsonb, 'labels', jsonb_build_object('team', 'payments', 'service', service)) END,
		CASE WHEN active THEN 1 END
	FROM @loads
	ORDER BY org, identifier`,

	`INSERT INTO @incident_project (organization_id, project_id, date_started, identifier)
	SELECT org, unnest(projects), started, identifier
	FROM @loads
	ORDER BY org, identifier`,

	// The digests are those of the library: the first half of the SHA-256 of texts, each
	// after its length.
	`INSERT INTO @incident_label (organization_id, digest, date_started, identifier)
	SELECT org, left(encode(sha256(convert_to(
		(SELECT string_agg(chr(length(part)) || part, '' ORDER BY n) FROM unnest(parts) WITH ORDINALITY AS p (part, n)), 'UTF8'
	)), 'hex'), 32)::uuid, started, identifier
	FROM @loads, LATERAL (VALUES
		(ARRAY['assignee', 'ada']), (ARRAY['label', 'team', 'payments']), (ARRAY['label', 'service', service])
	) AS v (parts)
	WHERE identifier % 2 = 1
	ORDER BY org, identifier`,

	`INSERT INTO @incident_active (organization_id, digest, date_started, identifier)
	SELECT org, left(encode(sha256(convert_to('project:' || project, 'UTF8')), 'hex'), 32)::uuid, started, identifier
	FROM @loads, unnest(projects) AS p (project)
	WHERE active
	UNION ALL
	SELECT org, digest, started, l.identifier
	FROM @loads l
	JOIN @incident_label i ON organization_id = org AND date_started = started AND i.identifier = l.identifier
	WHERE active`,

	`INSERT INTO @incident_slot (organization_id, alert_rule_id, project_id, query_id, version, holder, holders, last)
	SELECT org, rule, unnest(projects), query,
		CASE WHEN active THEN 1 ELSE 2 END, CASE WHEN active THEN identifier ELSE 0 END, CASE WHEN active THEN 1 ELSE 0 END, identifier
	FROM @loads
	ORDER BY org, identifier`,

	`INSERT INTO @incident_activity (organization_id, identifier, sequence, revision, call_id,
		type, value, previous_value, date_added, notification_uuid, user_id, comment)
	SELECT org, identifier, s.sequence, 0, 0, s.type,
		CASE s.type WHEN 1 THEN opened WHEN 2 THEN status ELSE 0 END, CASE s.type WHEN 2 THEN opened ELSE 0 END,
		CASE s.type WHEN 2 THEN closed ELSE started END,
		(lpad(to_hex((extract(epoch FROM started) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(s.sequence), 3, '0')
			|| '8' || substr(md5(org || '#' || identifier), 1, 15))::uuid,
		CASE s.type WHEN 3 THEN 'user-' || identifier % 200 ELSE '' END,
		CASE s.type WHEN 3 THEN 'The last deploy did it, rolling back' ELSE '' END
	FROM @loads, (VALUES (1, 4), (2, 1), (3, 3), (4, 3), (5, 2)) AS s (sequence, type)
	WHERE s.type <> 2 OR NOT active
	ORDER BY org, identifier, s.sequence`,

	`INSERT INTO @incident_trigger (organization_id, identifier, trigger_id, status, severity, date_added, date_modified)
	SELECT org, identifier, 'threshold', CASE WHEN active THEN 0 ELSE 1 END, opened, started, coalesce(closed, started)
	FROM @loads
	WHERE opened > 1
	ORDER BY org, identifier`,

	`INSERT INTO @incident_subscription (organization_id, identifier, user_id, date_added)
	SELECT org, identifier, 'user-' || (identifier + u) % 200, started
	FROM @loads, generate_series(0, 1) u
	ORDER BY org, identifier`,

	`INSERT INTO @incident_seen (organization_id, identifier, user_id, last_seen)
	SELECT org, identifier, 'user-' || (identifier + u) % 200, started
	FROM @loads, generate_series(0, 1) u
	ORDER BY org, identifier`,
}

// Load fills the empty tables of a migrated schema:
//
//   - Two in a hundred incidents are active.
//   - In each organization two thirds have the rule "busy".
//   - All affect the project "all". The first 5,000 of the first organization also affect the project
//     "steady", so that its size doesn't depend on that of the host.
//   - Half have a title that begins with "The latency".
//   - Half are assigned to "ada" and have the label "team" with the value "payments".
//   - Each has slots of its own.
//
// Load ends with VACUUM and ANALYZE, as autovacuum would do in time. It returns an error
// if the tables are not empty.
func Load(ctx context.Context, db *sqlx.DB, schema string, incidents int) error {
	in := func(command string) string { return strings.ReplaceAll(command, "@", schema+".") }
	var filled bool
	if err := db.GetContext(ctx, &filled, in("SELECT EXISTS (SELECT FROM @incident_organization)")); err != nil {
		return fmt.Errorf("pgload: %w", err)
	}
	if filled {
		return fmt.Errorf("pgload: the tables in schema %q are not empty; name another schema or database", schema)
	}
	if _, err := db.ExecContext(ctx, db.Rebind(in(loadsSQL)), incidents); err != nil {
		return fmt.Errorf("pgload: %w", err)
	}
	for _, command := range append(tables, "DROP TABLE @loads") {
		if _, err := db.ExecContext(ctx, in(command)); err != nil {
			return fmt.Errorf("pgload: %w", err)
		}
	}
	if _, err := db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("pgload: %w", err)
	}
	return nil
}
