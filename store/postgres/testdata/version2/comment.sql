WITH target AS (
	UPDATE "public".incident
	SET activities = activities + $2
	WHERE organization_id = $1 AND identifier = $3
		AND NOT EXISTS (SELECT FROM "public".incident_activity WHERE organization_id = $1 AND notification_uuid = $4)
	RETURNING identifier, activities
), logged AS (
	INSERT INTO "public".incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, trigger_id, field, old_text, new_text, revision, date_edited, date_deleted)
	SELECT $1::text, t.identifier, $5::bigint, t.activities, $6::smallint, $7::smallint, $8::smallint, $9::timestamptz, $10::uuid, $11::text, $12::text,
		$13::text, $14::text, $15::text, $16::text, 0, NULL, NULL
	FROM target t
), queued AS (
	INSERT INTO "public".incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - $17, activities, now(), now(), true
	FROM target
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE
	SET last = EXCLUDED.last
), followed AS (
	INSERT INTO "public".incident_subscription (organization_id, identifier, user_id, date_added)
	SELECT $1::text, t.identifier, v.*
	FROM target t, unnest($18::text[], $19::timestamptz[]) AS v
	ON CONFLICT (organization_id, identifier, user_id) DO NOTHING
)
SELECT identifier, activities FROM target
