WITH RECURSIVE matured AS MATERIALIZED (
	SELECT organization_id, identifier, replayed, due
	FROM "public".incident_outbox
	WHERE NOT ready AND due <= now() AND due < 'infinity'
	ORDER BY due
	LIMIT 100
	FOR UPDATE SKIP LOCKED
), turn AS (
	SELECT least((
		SELECT organization_id
		FROM "public".incident_outbox
		WHERE organization_id > $1 AND ready
		ORDER BY organization_id
		LIMIT 1
	), (
		SELECT min(organization_id) FROM matured WHERE organization_id > $1
	)) AS organization_id
	UNION ALL
	SELECT least((
		SELECT o.organization_id
		FROM "public".incident_outbox o
		WHERE o.organization_id > turn.organization_id AND o.ready
		ORDER BY o.organization_id
		LIMIT 1
	), (
		SELECT min(m.organization_id) FROM matured m WHERE m.organization_id > turn.organization_id
	))
	FROM turn
	WHERE turn.organization_id IS NOT NULL
), due AS MATERIALIZED (
	SELECT *
	FROM (
		SELECT d.organization_id, d.identifier, d.replayed
		FROM turn
		CROSS JOIN LATERAL (
			SELECT coalesce(($2::jsonb ->> turn.organization_id)::bigint, $3::bigint) AS most
		) allowance
		CROSS JOIN LATERAL (
			SELECT r.organization_id, r.identifier, r.replayed
			FROM (
				SELECT * FROM (
					SELECT organization_id, identifier, replayed, due
					FROM "public".incident_outbox
					WHERE organization_id = turn.organization_id AND ready
					ORDER BY due
					LIMIT allowance.most
					FOR UPDATE SKIP LOCKED
				) o
				UNION ALL
				SELECT * FROM matured m WHERE m.organization_id = turn.organization_id
			) r
			ORDER BY r.due
			LIMIT allowance.most
		) d
		WHERE turn.organization_id NOT IN (SELECT unnest($4::text[]))
		LIMIT $5
	) d LIMIT 32
), woken AS (
	UPDATE "public".incident_outbox o
	SET ready = true
	FROM matured m
	WHERE o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed
		AND m.identifier > 0 AND m.replayed >= 0
		AND NOT EXISTS (
			SELECT
			FROM due d
			WHERE d.organization_id = m.organization_id AND d.identifier = m.identifier AND d.replayed = m.replayed
		)
), claimed AS (
	UPDATE "public".incident_outbox o
	SET due = now() + $6::bigint * interval '1 microsecond', ready = false, attempts = o.attempts + 1, fence = o.fence + 1
	FROM due d
	WHERE o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.replayed = d.replayed
		AND d.identifier > 0 AND d.replayed >= 0
	RETURNING o.organization_id, o.identifier, o.replayed, o.next, o.last, o.attempts, o.fence
)
SELECT w.is_full, c.organization_id, c.replayed, c.next, c.last, c.attempts, c.fence,
	ARRAY(
		SELECT s.user_id
		FROM "public".incident_subscription s
		WHERE s.organization_id = c.organization_id AND s.identifier = c.identifier
	),
	a.identifier, a.sequence, a.type, a.user_id, a.value, a.previous_value, a.comment,
	a.notification_uuid, a.date_added, a.date_edited, a.date_deleted, a.revision,
	a.trigger_id, a.field, a.old_text, a.new_text, i.organization_id, i.identifier, i.title, i.type, i.status, i.status_method,
	i.alert_rule_id, i.query_id, i.detection_uuid, i.projects,
	i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, i.optional
FROM (SELECT count(*) = 100 AS is_full FROM matured) w
LEFT JOIN claimed c ON true
LEFT JOIN "public".incident i ON i.organization_id = c.organization_id AND i.identifier = c.identifier
LEFT JOIN LATERAL (
	SELECT *
	FROM "public".incident_activity
	WHERE organization_id = c.organization_id AND identifier = c.identifier AND sequence >= c.next
	ORDER BY sequence -- so that it is read by the primary key, whatever the statistics are
	LIMIT 1
) a ON a.sequence = c.next
