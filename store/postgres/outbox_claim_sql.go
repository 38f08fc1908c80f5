package postgres

// claimSQL claims rows that are ready, and rows whose lease or delay has ended.
//
// A row that is due at once is ready. The other rows wait for a time, and there may be
// hundreds of thousands of them: leases, delays and reminders. The cost of a claim must not
// grow with their number, so a claim reads two partial indexes:
//
//   - incident_outbox_ready has the ready rows by organization. turn walks from one
//     organization to the next, so that an organization with many rows costs a single step.
//   - incident_outbox_delayed has the waiting rows by time. matured takes the batch that
//     has been due for longest. Of these, the claim takes as many as its limits allow and
//     makes the rest ready, so that later claims find them by organization.
//
// incident_queue has the same indexes by notifier.
//
// The planner must not expect so many rows that it reads the whole outbox to update a few. A plan
// is kept, and may have been made while the outbox was almost empty. To that end, due has a second
// limit, and the updates have a condition that always holds: the planner does not know the sum, and
// expects one row in 200 to be equal to it.
//
// Rows that another transaction has locked are skipped. Only these statements read several
// organizations: this statement, settleSQL, backlogSQL, discardSQL, changesSQL, organizationsSQL,
// forgettableSQL and forgetSQL.
const claimSQL = `
WITH RECURSIVE matured AS MATERIALIZED (
	SELECT {key}, due
	FROM {table}
	WHERE {of}NOT ready AND due <= now() AND due < 'infinity'
	ORDER BY due
	LIMIT ` + maturing + `
	FOR UPDATE SKIP LOCKED
), turn AS (
	SELECT least((
		SELECT organization_id
		FROM {table}
		WHERE {of}organization_id > $1 AND ready
		ORDER BY organization_id
		LIMIT 1
	), (
		SELECT min(organization_id) FROM matured WHERE organization_id > $1
	)) AS organization_id
	UNION ALL
	SELECT least((
		SELECT o.organization_id
		FROM {table} o
		WHERE {of}o.organization_id > turn.organization_id AND o.ready
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
		SELECT {d.key}
		FROM turn
		CROSS JOIN LATERAL (
			SELECT coalesce((?::jsonb ->> turn.organization_id)::bigint, ?::bigint) AS most
		) allowance
		CROSS JOIN LATERAL (
			SELECT {r.key}
			FROM (
				SELECT * FROM (
					SELECT {key}, due
					FROM {table}
					WHERE {of}organization_id = turn.organization_id AND ready
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
		WHERE turn.organization_id NOT IN (SELECT unnest(?::text[]))
		LIMIT ?
	) d`

// The second limit of due bounds the rows that the planner expects. It is a literal, one of
// two, so that there are two texts for each table.
const (
	fewDueSQL  = " LIMIT 32"
	manyDueSQL = " LIMIT 10000"
)

// claimDueSQL claims the rows of due, and reads the data for their delivery. The first activity
// of a wanted type is delivered.
const claimDueSQL = `
), woken AS (
	UPDATE {table} o
	SET ready = true
	FROM matured m
	WHERE {o=m}
		AND m.replayed + 0 = m.replayed
		AND NOT EXISTS (
			SELECT
			FROM due d
			WHERE {d=m}
		)
), claimed AS (
	UPDATE {table} o
	SET due = now() + ?::bigint * interval '1 microsecond', ready = false, attempts = o.attempts + 1, fence = o.fence + ?::bigint,
		pending = CASE WHEN ?::smallint[] = '{}' THEN o.pending ELSE coalesce(o.pending, o.last - o.next + 1) END
	FROM due d
	WHERE {o=d}
		AND d.replayed + 0 = d.replayed
	RETURNING {o.key}, o.next, o.last, o.attempts, o.fence{o.reminder}
)
SELECT w.is_full, w.others, now(), c.organization_id, c.replayed, c.next, c.last, c.attempts, c.fence,
	ARRAY(
		SELECT s.user_id
		FROM @incident_subscription s
		WHERE s.organization_id = c.organization_id AND s.identifier = c.identifier
	),
	` + activityColumns + `, ` + incidentColumns + `{c.reminder}
FROM (
	SELECT count(*) = ` + maturing + ` AS is_full, {others} AS others
	FROM matured
) w
LEFT JOIN claimed c ON true
LEFT JOIN @incident i ON i.organization_id = c.organization_id AND i.identifier = c.identifier
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident_activity
	WHERE organization_id = c.organization_id AND identifier = c.identifier AND sequence BETWEEN c.next AND c.last
		AND (?::smallint[] = '{}' OR type = ANY (?::smallint[]))
	ORDER BY sequence -- so that it is read by the primary key, whatever the statistics are
	LIMIT 1
) a ON true`

// maturing is how many ended leases and delays a statement looks at. A larger batch makes more
// rows ready at once, and the claim slower. It is a literal, so that the planner knows how few
// they are.
const maturing = "100"

// unseenSQL reads the first wanted activity between next and last, and the data for its delivery.
const unseenSQL = `
SELECT
	EXISTS (
		SELECT
		FROM @incident_activity
		WHERE organization_id = $1 AND identifier = ? AND sequence = ?
	),
	ARRAY(
		SELECT s.user_id
		FROM @incident_subscription s
		WHERE s.organization_id = $1 AND s.identifier = i.identifier
	),
	` + activityColumns + `, ` + incidentColumns + `
FROM @incident i
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident_activity
	WHERE organization_id = $1 AND identifier = i.identifier AND sequence BETWEEN ? AND ?
		AND (?::smallint[] = '{}' OR type = ANY (?::smallint[]))
	ORDER BY sequence
	LIMIT 1
) a ON true
WHERE i.organization_id = $1 AND i.identifier = ?`
