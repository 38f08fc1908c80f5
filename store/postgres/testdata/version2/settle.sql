WITH mine AS (
	SELECT s.*, o.last, o.attempts, s.outcome = 1 OR s.outcome = 4 AS ends,
		(s.outcome = 1 OR s.outcome = 4 AND s.replayed = 0) AND o.last = s.sequence AS leaves
	FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::bigint[], $9::text[])
		WITH ORDINALITY AS s (organization_id, identifier, replayed, sequence, fence, outcome, after, error, place)
	JOIN "public".incident_outbox o
		ON o.organization_id = s.organization_id AND o.identifier = s.identifier AND o.replayed = s.replayed
	WHERE o.fence = s.fence AND o.next = s.sequence AND o.due < 'infinity' AND $1 = $1::text
	FOR UPDATE OF o SKIP LOCKED
), gone AS (
	DELETE FROM "public".incident_outbox o
	USING mine m
	WHERE o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed AND m.leaves
), kept AS (
	UPDATE "public".incident_outbox o
	SET next = CASE WHEN m.ends AND m.replayed = 0 THEN m.sequence + 1 ELSE o.next END,
		due = CASE
			WHEN m.outcome = 2 THEN now() + m.after * interval '1 microsecond'
			WHEN m.outcome = 4 AND m.replayed > 0 THEN 'infinity'
			ELSE now()
		END,
		ready = m.outcome <> 2 AND NOT (m.outcome = 4 AND m.replayed > 0),
		since = CASE WHEN m.ends THEN now() ELSE o.since END,
		attempts = CASE
			WHEN m.outcome = 3 THEN m.attempts - 1
			WHEN m.ends AND m.replayed = 0 THEN 0
			ELSE m.attempts
		END,
		fence = o.fence + 1, -- it is settled once
		error = m.error
	FROM mine m
	WHERE o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed AND NOT m.leaves
), parked AS (
	INSERT INTO "public".incident_outbox (organization_id, identifier, replayed, next, last, due, since, fence, attempts, error)
	SELECT m.organization_id, m.identifier, m.sequence, m.sequence, m.sequence, 'infinity', now(), m.fence + 1, m.attempts, m.error
	FROM mine m
	WHERE m.outcome = 4 AND m.replayed = 0
)
SELECT place FROM mine
