package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Who claims goes from organization to organization in the index, and takes from each what
// has been due for longest and is not in the hands of others. The organization is that
// behind which it begins. This and settling are the statements beside the feed's that look
// at several organizations.
const claimSQL = `
WITH RECURSIVE turn AS (
	(
		SELECT organization_id
		FROM @incident_outbox
		WHERE organization_id > $1 AND due < 'infinity'
		ORDER BY organization_id
		LIMIT 1
	)
	UNION ALL
	SELECT (
		SELECT o.organization_id
		FROM @incident_outbox o
		WHERE o.organization_id > turn.organization_id AND o.due < 'infinity'
		ORDER BY o.organization_id
		LIMIT 1
	)
	FROM turn
	WHERE turn.organization_id IS NOT NULL
), due AS (
	SELECT d.organization_id, d.identifier, d.replayed
	FROM turn
	CROSS JOIN LATERAL (
		SELECT organization_id, identifier, replayed
		FROM @incident_outbox
		WHERE organization_id = turn.organization_id AND due <= now() AND due < 'infinity'
		ORDER BY due
		LIMIT ?
		FOR UPDATE SKIP LOCKED
	) d
	WHERE turn.organization_id <> ?
	LIMIT ?
), claimed AS (
	UPDATE @incident_outbox o
	SET due = now() + ?::bigint * interval '1 microsecond', attempts = o.attempts + 1, fence = o.fence + 1
	FROM due d
	WHERE o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.replayed = d.replayed
	RETURNING o.organization_id, o.identifier, o.replayed, o.next, o.last, o.attempts, o.fence
)
SELECT c.organization_id, c.replayed, c.next, c.last, c.attempts, c.fence,
	ARRAY(
		SELECT s.user_id
		FROM @incident_subscription s
		WHERE s.organization_id = c.organization_id AND s.identifier = c.identifier
		ORDER BY s.user_id
	),
	` + activityColumns + `, ` + incidentColumns + `
FROM claimed c
JOIN @incident i ON i.organization_id = c.organization_id AND i.identifier = c.identifier
LEFT JOIN @incident_activity a
	ON a.organization_id = c.organization_id AND a.identifier = c.identifier AND a.sequence = c.next`

// Claim implements [incident.OutboxStore].
func (s *Store) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	if s.tx != nil {
		return nil, s.translate(ctx, "claim", errOutboxTx)
	}
	st := s.statement(string(q.After)).add(claimSQL,
		int64(q.PerOrganization), string(q.Except), int64(q.Limit), q.Lease.Microseconds())
	claims, err := query(ctx, s, "claim", st, func(rows *sqlx.Rows) (all []incident.Claim, err error) {
		for rows.Next() {
			c, err := readClaim(rows)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, nil
	})
	if err != nil {
		return nil, err
	}
	return s.withActivities(ctx, claims), nil
}

var errOutboxTx = &incident.FieldError{Field: "tx", Problem: "claims and settles nothing; ask the store itself"}

func readClaim(rows *sqlx.Rows) (c incident.Claim, err error) {
	var replayed, last int64
	dest := append([]any{
		text(&c.Key.OrganizationID), integer(&replayed), integer(&c.Sequence), integer(&last), integer(&c.Attempt), integer(&c.Fence),
		list(&c.Subscribers),
	}, scanActivity(&c.Activity)...)
	if err := rows.Scan(append(dest, scanIncident(&c.Incident)...)...); err != nil {
		return c, err
	}
	c.Key.Identifier = c.Incident.Identifier
	c.Replayed, c.More = replayed != 0, last > c.Sequence
	c.Activity.Incident = c.Key
	return c, nil
}

// withActivities gives those claims back of which the statement did not see the activity.
// It was committed after the statement began, which then waited for nobody but found the
// queue as it was a moment later. What cannot be given back is due when its lease is over.
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
		_, _ = s.Settle(ctx, unseen) // the others were claimed, whatever becomes of it
	}
	return whole
}
