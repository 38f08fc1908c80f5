WITH wanted AS (
	SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[]) AS w (rule, project, query, claimed)
), target AS (
	INSERT INTO "public".incident_organization AS o (organization_id, incidents)
	SELECT $1::text, 1
	WHERE true
		AND NOT EXISTS (
			SELECT FROM wanted w
			WHERE w.claimed AND (
				SELECT holder
				FROM "public".incident_slot
				WHERE organization_id = $1 AND alert_rule_id = w.rule AND project_id = w.project AND query_id = w.query
			) NOT IN (0, $12)
		)
	ON CONFLICT (organization_id) DO UPDATE
	SET incidents = o.incidents + 1
	RETURNING incidents AS identifier, $13::bigint AS activities
), created AS (
	INSERT INTO "public".incident (organization_id, identifier, version, activities, call_id,
		type, status, status_method, date_started, date_detected, date_added,
		title, title_folded, alert_rule_id, query_id, projects)
	SELECT $1::text, identifier, 1, activities, $6::bigint,
		$14::smallint, $8::smallint, $15::smallint, $7::timestamptz, $7::timestamptz, $7::timestamptz,
		$16::text, $17::text, $18::text, $19::text, ARRAY[$9::text]
	FROM target
), linked AS (
	INSERT INTO "public".incident_project (organization_id, project_id, date_started, identifier)
	SELECT $1::text, $9::text, $7::timestamptz, identifier
	FROM target
), logged AS (
	INSERT INTO "public".incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, revision)
	SELECT $1::text, t.identifier, $6::bigint, v.sequence, v.type, v.value, v.previous_value,
		$7::timestamptz, v.notification_uuid, $10::text, '', 0
	FROM target t, (VALUES
		(1, 4::smallint, 0::smallint, 0::smallint, $20::uuid),
		(2, 1::smallint, $11::smallint, 0::smallint, $21::uuid),
		(3, 2::smallint, $8::smallint, $11::smallint, $22::uuid)
	) AS v (sequence, type, value, previous_value, notification_uuid)
), queued AS (
	INSERT INTO "public".incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - $23, activities, now(), now(), true
	FROM target
), triggered AS (
	INSERT INTO "public".incident_trigger (organization_id, identifier, trigger_id, status, severity, date_added, date_modified)
	SELECT $1::text, t.identifier, v.*
	FROM target t, unnest($24::text[], $25::smallint[], $26::smallint[], $27::timestamptz[], $28::timestamptz[]) AS v
	ON CONFLICT (organization_id, identifier, trigger_id) DO UPDATE
	SET status = EXCLUDED.status, severity = EXCLUDED.severity,
		date_added = EXCLUDED.date_added, date_modified = EXCLUDED.date_modified
), slots AS (
	INSERT INTO "public".incident_slot AS s (organization_id, alert_rule_id, project_id, query_id, version, holder, holders)
	SELECT $1::text, w.rule, w.project, w.query, 1,
		CASE WHEN w.claimed THEN t.identifier ELSE 0 END,
		CASE WHEN w.claimed THEN 1 ELSE 0 END
	FROM target t, wanted w
	ON CONFLICT (organization_id, alert_rule_id, project_id, query_id) DO UPDATE
	SET version = s.version + 1,
		changed = EXCLUDED.changed,
		holder = EXCLUDED.holder,
		holders = CASE
			WHEN EXCLUDED.holder IN (0, s.holder) THEN EXCLUDED.holders
			ELSE s.holders + 1
		END
	RETURNING alert_rule_id, project_id, query_id, version
)
SELECT t.identifier, t.activities, s.alert_rule_id, s.project_id, s.query_id, s.version
FROM target t
LEFT JOIN slots s ON true
