WITH wanted AS (
	SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[]) AS w (rule, project, query, claimed)
), target AS (
	UPDATE "public".incident
	SET activities = activities + $6, version = $7, call_id = $8, changed = DEFAULT,
		type = $9, status = $10, status_method = $11,
		date_started = $12, date_detected = $13, date_added = $14, date_closed = $15,
		detection_uuid = $16, title = $17, title_folded = $18, alert_rule_id = $19, query_id = $20, projects = $21
	WHERE organization_id = $1 AND identifier = $22 AND version = $23 AND date_started = $24
		AND NOT EXISTS (SELECT FROM "public".incident_activity WHERE organization_id = $1 AND notification_uuid = $25)
		AND NOT EXISTS (
			SELECT FROM wanted w
			WHERE w.claimed AND (
				SELECT holder
				FROM "public".incident_slot
				WHERE organization_id = $1 AND alert_rule_id = w.rule AND project_id = w.project AND query_id = w.query
			) NOT IN (0, $26)
		)
	RETURNING identifier, activities
), logged AS (
	INSERT INTO "public".incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, revision, date_edited, date_deleted)
	SELECT $1::text, t.identifier, $27::bigint, t.activities, $28::smallint, $29::smallint, $30::smallint, $31::timestamptz, $32::uuid, $33::text, $34::text, 0, NULL, NULL
	FROM target t
), queued AS (
	INSERT INTO "public".incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - $35, activities, now(), now(), true
	FROM target
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE
	SET last = EXCLUDED.last
), triggered AS (
	INSERT INTO "public".incident_trigger (organization_id, identifier, trigger_id, status, severity, date_added, date_modified)
	SELECT $1::text, t.identifier, v.*
	FROM target t, unnest($36::text[], $37::smallint[], $38::smallint[], $39::timestamptz[], $40::timestamptz[]) AS v
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
