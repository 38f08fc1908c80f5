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
		a, err := s.claimOnce(ctx, t, q)
		if err != nil && len(claims) == 0 {
			return nil, false, err
		}
		found, emptied := s.readUnseen(ctx, q, a.unseen)
		a.claims = append(a.claims, found...)
		claims, others = append(claims, a.claims...), others || a.others
		isWhole := emptied == 0 && !a.isBatchFull
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

	// unseen are claims for which the statement saw no wanted activity. Either the activity
	// was committed after the statement began, but before the statement locked the queue, or
	// the wanted types were others when the activities were queued.
	unseen []unseenClaim

	isBatchFull bool // more leases and delays may have ended than the statement looked at
	others      bool // rows for the same notifier are due in the other table
}

// unseenClaim is a claim without an activity. Its Sequence is the next of the queue.
type unseenClaim struct {
	incident.Claim
	last int64 // the last sequence of the queue
}

// claimOnce claims by a single statement or, on Citus, by a statement for each shard.
func (s *Store) claimOnce(ctx context.Context, t *outboxTable, q incident.ClaimQuery) (claimAnswer, error) {
	if s.citus != nil {
		return s.claimOnNodes(ctx, t, q)
	}
	return s.claim(ctx, t, q, "")
}

// claim runs the statement once. On Citus owner is an organization of the shard.
func (s *Store) claim(ctx context.Context, t *outboxTable, q incident.ClaimQuery, owner string) (claimAnswer, error) {
	st := s.claimStatement(t, q)
	st.owner = owner
	wanted := st.parameter(typeArray(q.Types))
	if err := addDue(st, t.claim, q); err != nil {
		return claimAnswer{}, err
	}
	st.add(t.claimDue, q.Lease.Microseconds(), fenceStep(), wanted, wanted, wanted)
	return query(ctx, s, "claim", st, func(rows rowSet) (a claimAnswer, err error) {
		for rows.Next() {
			if err := a.read(rows, t, q.Notifier); err != nil {
				return claimAnswer{}, err
			}
		}
		return a, nil
	})
}

// claimStatement returns a statement without a text.
func (s *Store) claimStatement(t *outboxTable, q incident.ClaimQuery) *statement {
	st := s.statementOfAll(string(q.After))
	if t.hasNames {
		st.parameter(q.Notifier)
	}
	return st
}

// addDue adds a text that finds the rows that are due.
func addDue(st *statement, text string, q incident.ClaimQuery) error {
	most := make(map[incident.OrganizationID]int, len(q.Allowances))
	for org, n := range q.Allowances {
		most[org] = min(n, q.Limit)
	}
	allowances, err := json.Marshal(most) // an object is searched faster than a list
	if err != nil {
		return err
	}
	bound := fewDueSQL
	if q.Limit > 32 {
		bound = manyDueSQL
	}
	st.add(text, string(allowances), int64(min(q.PerOrganization, q.Limit)), idArray(q.Except), int64(q.Limit)).add(bound)
	return nil
}

var errOutboxTx = &incident.FieldError{Field: "tx", Problem: "cannot claim, settle or discard; call the store outside the transaction"}

// read reads a row. An answer without claims has a single row without a claim.
func (a *claimAnswer) read(rows rowSet, t *outboxTable, notifier string) error {
	c := incident.Claim{Ticket: incident.Ticket{Notifier: notifier}}
	var replayed, last int64
	var r incident.Reminder
	dest := slices.Concat([]any{
		boolean(&a.isBatchFull), boolean(&a.others), instant(&c.Now),
		text(&c.Key.OrganizationID), integer(&replayed), integer(&c.Sequence), integer(&last), integer(&c.Attempt), integer(&c.Fence),
		list(&c.Subscribers),
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
		setHead(&c, last)
	default:
		a.unseen = append(a.unseen, unseenClaim{c, last})
		return nil
	}
	a.claims = append(a.claims, c)
	return nil
}

// setHead makes the activity of a claim the head of its queue.
func setHead(c *incident.Claim, last int64) {
	c.Sequence, c.More = c.Activity.Sequence, last > c.Activity.Sequence
	c.Activity.Incident = c.Key
}

// readUnseen returns the claims whose activity is visible by now, and how many of the queues have
// no wanted activity. Those queues are settled, and any other claim is released. A claim that
// cannot be settled is due again when its lease ends: the result must not fail the other claims.
func (s *Store) readUnseen(ctx context.Context, q incident.ClaimQuery, unseen []unseenClaim) (found []incident.Claim, emptied int) {
	var ends []incident.Settlement
	for i := range unseen {
		c := &unseen[i]
		isWhole, err := s.readActivity(ctx, q, c)
		if err == nil && c.Activity.Sequence != 0 {
			setHead(&c.Claim, c.last)
			found = append(found, c.Claim)
			continue
		}
		end := incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRelease}
		if err == nil && isWhole && len(q.Types) > 0 {
			end.Outcome, end.Sequence = incident.OutcomeDelivered, c.last
			emptied++
		}
		ends = append(ends, end)
	}
	s.settleBriefly(ctx, ends)
	return found, emptied
}

// settleBriefly settles, and waits a moment for writers that have locked the queues.
func (s *Store) settleBriefly(ctx context.Context, all []incident.Settlement) {
	const most, interval = time.Second, time.Millisecond
	for start := time.Now(); len(all) > 0; {
		busy, err := s.Settle(ctx, all)
		if err != nil || len(busy) == 0 || time.Since(start) > most {
			return
		}
		time.Sleep(interval)
		rest := make([]incident.Settlement, len(busy))
		for i, index := range busy {
			rest[i] = all[index]
		}
		all = rest
	}
}

// readActivity reads the claim's activity, if there is any, and the data for its delivery. isWhole
// reports whether the last activity of the queue is visible, and so all others.
func (s *Store) readActivity(ctx context.Context, q incident.ClaimQuery, c *unseenClaim) (isWhole bool, err error) {
	st := s.statement(string(c.Key.OrganizationID))
	identifier, last, wanted := st.parameter(c.Key.Identifier), st.parameter(c.last), st.parameter(typeArray(q.Types))
	st.add(unseenSQL, identifier, last, c.Sequence, last, wanted, wanted, identifier)
	return query(ctx, s, "claim", st, func(rows rowSet) (isWhole bool, err error) {
		c.Activity, c.Incident, c.Subscribers = incident.Activity{}, incident.Incident{}, nil
		err = scanOne(rows, slices.Concat([]any{boolean(&isWhole), list(&c.Subscribers)}, scanActivity(&c.Activity), scanIncident(&c.Incident))...)
		slices.Sort(c.Subscribers)
		return isWhole, err
	})
}

// typeArray returns an array that is never NULL.
func typeArray(types []incident.ActivityType) pq.Int64Array {
	array := make(pq.Int64Array, len(types))
	for i, typ := range types {
		array[i] = int64(typ)
	}
	return array
}
