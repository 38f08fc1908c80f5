package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// claimSQL claims rows that are ready, and rows whose lease or delay has ended.
//
// A row that is due at once is ready. The other rows wait for a time, and there may be
// hundreds of thousands of them. The cost of a claim must not grow with their number, so a
// claim reads two partial indexes:
//
//   - incident_outbox_ready has the ready rows by organization. turn walks from one
//     organization to the next, so that an organization with many rows costs a single step.
//   - incident_outbox_delayed has the waiting rows by time. matured takes the batch that
//     has been due for longest. Of these, the claim takes as many as its limits allow and
//     makes the rest ready, so that later claims find them by organization.
//
// The planner must not expect so many rows that it reads the whole outbox to update a few.
// To that end, due has a second limit, and the updates have conditions on identifier and
// replayed that always hold.
//
// Rows that another transaction has locked are skipped. Only four statements read several
// organizations: this statement, settleSQL, backlogSQL and changesSQL.
const claimSQL = `
WITH RECURSIVE matured AS MATERIALIZED (
	SELECT organization_id, identifier, replayed, due
	FROM @incident_outbox
	WHERE NOT ready AND due <= now() AND due < 'infinity'
	ORDER BY due
	LIMIT ` + maturing + `
	FOR UPDATE SKIP LOCKED
), turn AS (
	SELECT least((
		SELECT organization_id
		FROM @incident_outbox
		WHERE organization_id > $1 AND ready
		ORDER BY organization_id
		LIMIT 1
	), (
		SELECT min(organization_id) FROM matured WHERE organization_id > $1
	)) AS organization_id
	UNION ALL
	SELECT least((
		SELECT o.organization_id
		FROM @incident_outbox o
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
			SELECT coalesce((?::jsonb ->> turn.organization_id)::bigint, ?::bigint) AS most
		) allowance
		CROSS JOIN LATERAL (
			SELECT r.organization_id, r.identifier, r.replayed
			FROM (
				SELECT * FROM (
					SELECT organization_id, identifier, replayed, due
					FROM @incident_outbox
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
		WHERE turn.organization_id NOT IN (SELECT unnest(?::text[]))
		LIMIT ?
	) d`

// The second limit of due bounds the rows that the planner expects. It is a literal, one of
// two, so that there are two texts.
const (
	fewDueSQL  = " LIMIT 32"
	manyDueSQL = " LIMIT 10000"
)

const claimDueSQL = `
), woken AS (
	UPDATE @incident_outbox o
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
	UPDATE @incident_outbox o
	SET due = now() + ?::bigint * interval '1 microsecond', ready = false, attempts = o.attempts + 1, fence = o.fence + 1
	FROM due d
	WHERE o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.replayed = d.replayed
		AND d.identifier > 0 AND d.replayed >= 0
	RETURNING o.organization_id, o.identifier, o.replayed, o.next, o.last, o.attempts, o.fence
)
SELECT w.is_full, c.organization_id, c.replayed, c.next, c.last, c.attempts, c.fence,
	ARRAY(
		SELECT s.user_id
		FROM @incident_subscription s
		WHERE s.organization_id = c.organization_id AND s.identifier = c.identifier
	),
	` + activityColumns + `, ` + incidentColumns + `
FROM (SELECT count(*) = ` + maturing + ` AS is_full FROM matured) w
LEFT JOIN claimed c ON true
LEFT JOIN @incident i ON i.organization_id = c.organization_id AND i.identifier = c.identifier
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident_activity
	WHERE organization_id = c.organization_id AND identifier = c.identifier AND sequence >= c.next
	ORDER BY sequence -- so that it is read by the primary key, whatever the statistics are
	LIMIT 1
) a ON a.sequence = c.next`

const (
	// maturing is how many ended leases and delays a statement looks at. A larger batch
	// makes more rows ready at once, and the claim slower. It is a literal, so that the
	// planner knows how few they are.
	maturing = "100"

	// maturingTime bounds how long a claim repeats its statement.
	maturingTime = time.Second
)

// Claim implements [incident.OutboxStore]. It repeats its statement while that finds more
// ended leases and delays than it looks at, and fewer rows than the query asks for.
func (s *Store) Claim(ctx context.Context, q incident.ClaimQuery) (claims []incident.Claim, err error) {
	if s.tx != nil {
		return nil, s.translate(ctx, "claim", errOutboxTx)
	}
	for start := time.Now(); ; {
		more, isBatchFull, err := s.claim(ctx, q)
		if err != nil && len(claims) == 0 {
			return nil, err
		}
		claims = append(claims, more...)
		if err != nil || !isBatchFull || len(more) == q.Limit || time.Since(start) > maturingTime {
			return s.withActivities(ctx, claims), nil
		}
		q = remaining(q, more)
	}
}

// remaining returns the query for the rows that are still allowed after some claims.
func remaining(q incident.ClaimQuery, claims []incident.Claim) incident.ClaimQuery {
	allowances := map[incident.OrganizationID]int{}
	maps.Copy(allowances, q.Allowances)
	for _, c := range claims {
		org := c.Key.OrganizationID
		if _, named := allowances[org]; !named {
			allowances[org] = q.PerOrganization
		}
		allowances[org]--
	}
	q.Limit -= len(claims)
	q.Allowances = allowances
	return q
}

// claim runs the statement once. isBatchFull means that more leases and delays may have
// ended than it has looked at.
func (s *Store) claim(ctx context.Context, q incident.ClaimQuery) (claims []incident.Claim, isBatchFull bool, err error) {
	most := make(map[incident.OrganizationID]int, len(q.Allowances))
	for org, n := range q.Allowances {
		most[org] = min(n, q.Limit)
	}
	allowances, err := json.Marshal(most) // an object is searched faster than a list
	if err != nil {
		return nil, false, err
	}
	bound := fewDueSQL
	if q.Limit > 32 {
		bound = manyDueSQL
	}
	st := s.statement(string(q.After)).
		add(claimSQL, string(allowances), int64(min(q.PerOrganization, q.Limit)), idArray(q.Except), int64(q.Limit)).
		add(bound).
		add(claimDueSQL, q.Lease.Microseconds())
	claims, err = query(ctx, s, "claim", st, func(rows rowSet) (all []incident.Claim, err error) {
		for rows.Next() {
			c, err := readClaim(rows, &isBatchFull)
			if err != nil {
				return nil, err
			}
			if c.Key.OrganizationID != "" {
				all = append(all, c)
			}
		}
		return all, nil
	})
	return claims, isBatchFull, err
}

var errOutboxTx = &incident.FieldError{Field: "tx", Problem: "cannot claim or settle; call the store outside the transaction"}

// readClaim reads a row. An answer without claims has a single row without a claim.
func readClaim(rows rowSet, isBatchFull *bool) (c incident.Claim, err error) {
	var replayed, last int64
	dest := append([]any{
		boolean(isBatchFull), text(&c.Key.OrganizationID), integer(&replayed), integer(&c.Sequence), integer(&last), integer(&c.Attempt), integer(&c.Fence),
		list(&c.Subscribers),
	}, scanActivity(&c.Activity)...)
	if err := rows.Scan(append(dest, scanIncident(&c.Incident)...)...); err != nil {
		return c, err
	}
	slices.Sort(c.Subscribers) // sorting in the statement costs more than the rest of a row's claim
	c.Key.Identifier = c.Incident.Identifier
	c.Replayed, c.More = replayed != 0, last > c.Sequence
	c.Activity.Incident = c.Key
	return c, nil
}

// withActivities releases the claims whose activity the statement did not see. Such an activity
// was committed after the statement began, but before the statement locked the queue. A claim
// that cannot be released is due again when its lease ends.
func (s *Store) withActivities(ctx context.Context, claims []incident.Claim) (whole []incident.Claim) {
	var unseen []incident.Settlement
	whole = claims[:0]
	for _, c := range claims {
		if c.Activity.Sequence != 0 {
			whole = append(whole, c)
		} else {
			unseen = append(unseen, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRelease})
		}
	}
	if len(unseen) > 0 {
		_, _ = s.Settle(ctx, unseen) // the result must not fail the other claims
	}
	return whole
}
