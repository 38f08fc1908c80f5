package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// maturingTime bounds how long a claim repeats its statement.
const maturingTime = time.Second

// Claim implements [incident.OutboxStore]. The claim of the notifier without a name also reports
// whether a reminder for it is due. Only then a second statement claims reminders. Afterwards
// the next claim begins with the reminders, so that neither table starves the other.
func (s *Store) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	if s.tx != nil {
		return nil, s.translate(ctx, "claim", errOutboxTx)
	}
	if q.Notifier != "" {
		claims, _, err := s.claimFrom(ctx, namedTable, q)
		return claims, err
	}
	first, second := unnamedTable, namedTable
	if s.remindersFirst.Swap(false) {
		first, second = second, first
	}
	claims, others, err := s.claimFrom(ctx, first, q)
	switch {
	case err != nil:
		return nil, err
	case first == unnamedTable && !others:
		return claims, nil
	case others:
		s.remindersFirst.Store(true)
	}
	if len(claims) < q.Limit {
		more, _, _ := s.claimFrom(ctx, second, remaining(q, claims)) // an error must not lose the first claims
		claims = append(claims, more...)
	}
	return claims, nil
}

// claimFrom claims from a table. It repeats the statement while that finds more ended leases and
// delays than it looks at, or queues without a wanted activity, and fewer rows than the query
// asks for. others reports whether rows for the same notifier are due in the other table.
func (s *Store) claimFrom(ctx context.Context, t *outboxTable, q incident.ClaimQuery) (claims []incident.Claim, others bool, err error) {
	for start := time.Now(); ; {
		a, err := s.claim(ctx, t, q)
		if err != nil && len(claims) == 0 {
			return nil, false, err
		}
		claims, others = append(claims, a.claims...), others || a.others
		s.endUnclaimed(ctx, a)
		isWhole := !a.isBatchFull && len(a.emptied) == 0
		if err != nil || isWhole || len(a.claims) == q.Limit || time.Since(start) > maturingTime {
			return claims, others, nil
		}
		q = remaining(q, a.claims)
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

// claimAnswer is the answer to the statement of a claim.
type claimAnswer struct {
	claims []incident.Claim

	// unseen are claims whose activity the statement did not see. Such an activity was
	// committed after the statement began, but before the statement locked the queue.
	unseen []incident.Settlement

	// emptied are claims of queues without a wanted activity: the wanted types were others
	// when the activities were queued.
	emptied []incident.Settlement

	isBatchFull bool // more leases and delays may have ended than the statement looked at
	others      bool // rows for the same notifier are due in the other table
}

// claim runs the statement once.
func (s *Store) claim(ctx context.Context, t *outboxTable, q incident.ClaimQuery) (claimAnswer, error) {
	most := make(map[incident.OrganizationID]int, len(q.Allowances))
	for org, n := range q.Allowances {
		most[org] = min(n, q.Limit)
	}
	allowances, err := json.Marshal(most) // an object is searched faster than a list
	if err != nil {
		return claimAnswer{}, err
	}
	bound := fewDueSQL
	if q.Limit > 32 {
		bound = manyDueSQL
	}
	st := s.statement(string(q.After))
	if t.hasNames {
		st.parameter(q.Notifier)
	}
	types := make(pq.Int64Array, len(q.Types))
	for i, typ := range q.Types {
		types[i] = int64(typ)
	}
	wanted := st.parameter(types)
	st.add(t.claim, string(allowances), int64(min(q.PerOrganization, q.Limit)), idArray(q.Except), int64(q.Limit)).
		add(bound).
		add(t.claimDue, q.Lease.Microseconds(), wanted, wanted, wanted)
	return query(ctx, s, "claim", st, func(rows rowSet) (a claimAnswer, err error) {
		for rows.Next() {
			if err := a.read(rows, t, q.Notifier); err != nil {
				return claimAnswer{}, err
			}
		}
		return a, nil
	})
}

var errOutboxTx = &incident.FieldError{Field: "tx", Problem: "cannot claim, settle or discard; call the store outside the transaction"}

// read reads a row. An answer without claims has a single row without a claim.
func (a *claimAnswer) read(rows rowSet, t *outboxTable, notifier string) error {
	c := incident.Claim{Ticket: incident.Ticket{Notifier: notifier}}
	var replayed, last int64
	var isLastSeen bool
	var r incident.Reminder
	dest := slices.Concat([]any{
		boolean(&a.isBatchFull), boolean(&a.others), instant(&c.Now),
		text(&c.Key.OrganizationID), integer(&replayed), integer(&c.Sequence), integer(&last), integer(&c.Attempt), integer(&c.Fence),
		boolean(&isLastSeen), list(&c.Subscribers),
	}, scanActivity(&c.Activity), scanIncident(&c.Incident))
	if t.hasNames {
		dest = append(dest, text(&r.Name), integer(&r.Unless), integer(&r.Status), identity(&r.NotificationUUID))
	}
	if err := rows.Scan(dest...); err != nil || c.Key.OrganizationID == "" {
		return err
	}
	slices.Sort(c.Subscribers) // sorting in the statement costs more than the rest of a row's claim
	c.Key.Identifier = c.Incident.Identifier
	c.Replayed = replayed != 0
	switch {
	case r.Name != "":
		r.Notifier, r.At = notifier, time.UnixMicro(c.Sequence).UTC()
		c.Ticket.Reminder, c.Reminder = r.Name, &r
	case c.Activity.Sequence != 0:
		c.Sequence, c.More = c.Activity.Sequence, last > c.Activity.Sequence
		c.Activity.Incident = c.Key
	case isLastSeen:
		c.Sequence = last
		a.emptied = append(a.emptied, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		return nil
	default:
		a.unseen = append(a.unseen, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRelease})
		return nil
	}
	a.claims = append(a.claims, c)
	return nil
}

// endUnclaimed ends the claims of a that are not returned. A claim that cannot be ended is due
// again when its lease ends.
func (s *Store) endUnclaimed(ctx context.Context, a claimAnswer) {
	if all := append(a.unseen, a.emptied...); len(all) > 0 {
		_, _ = s.Settle(ctx, all) // the result must not fail the other claims
	}
}
