package memory

import (
	"context"
	"fmt"
	"math"

	"github.com/incidentkit/incident"
)

var _ incident.UsedOutbox = (*Store)(nil)

// Queued implements [incident.UsedOutbox].
func (s *Store) Queued() bool { return s.queued.Load() }

// enqueue queues the added activities of an incident for delivery.
func (s *Store) enqueue(o *organization, key incident.Key, added span) {
	s.queued.Store(true)
	if q := o.queues[queueName{identifier: key.Identifier}]; q != nil {
		n := added.last - added.first + 1
		q.extend(added)
		s.outbox.pending += n
		if s.inTx() {
			s.undo(func() {
				q.retract(added)
				s.outbox.pending -= n
			})
		}
		return
	}
	q := newQueue(key, added)
	s.outbox.open(o, q)
	if s.inTx() {
		s.undo(func() { s.outbox.shut(o, q) })
	}
}

// Claim implements [incident.OutboxStore].
func (s *Store) Claim(ctx context.Context, c incident.ClaimQuery) ([]incident.Claim, error) {
	if err := s.acquire(ctx, writer); err != nil {
		return nil, err
	}
	defer s.release(writer)
	if s.inTx() {
		return nil, errClaimInTx
	}
	b := &s.outbox
	now := b.now()
	b.wake(now)
	found := b.claimable(c)
	claims := make([]incident.Claim, 0, len(found))
	for _, q := range found {
		b.fence++
		q.fence = b.fence
		q.attempts++
		b.delay(q, after(now, c.Lease), now)
		claims = append(claims, s.claimOf(q))
	}
	return claims, nil
}

// claimable returns the queues that a claim gets.
func (b *outbox) claimable(c incident.ClaimQuery) []*queue {
	var found []*queue
	except := make(map[incident.OrganizationID]bool, len(c.Except))
	for _, org := range c.Except {
		except[org] = true
	}
	it := b.ready.Iter()
	next := &queue{due: math.MaxInt64, spans: []span{{}}}
	seekAfter := func(org incident.OrganizationID) bool {
		next.key.OrganizationID = org
		return it.Seek(next)
	}
	for ok := seekAfter(c.After); ok && len(found) < c.Limit; {
		org := it.Item().key.OrganizationID
		if except[org] {
			ok = seekAfter(org)
			continue
		}
		most, named := c.Allowances[org]
		if !named {
			most = c.PerOrganization
		}
		most = min(most, c.Limit-len(found))
		for ; ok && most > 0 && it.Item().key.OrganizationID == org; most-- {
			found = append(found, it.Item())
			ok = it.Next()
		}
		if ok && it.Item().key.OrganizationID == org {
			ok = seekAfter(org)
		}
	}
	return found
}

// claimOf returns the claim of the queue's head.
func (s *Store) claimOf(q *queue) incident.Claim {
	_, r := s.record(q.key)
	c := incident.Claim{
		Ticket: incident.Ticket{
			Key: q.key, Sequence: q.head(), Replayed: q.replayed, Fence: q.fence, More: q.more(),
		},
		Activity:    r.activity(q.head()),
		Incident:    r.incident.Clone(),
		Subscribers: make([]incident.UserID, len(r.subscribers)),
		Attempt:     q.attempts,
	}
	for i, u := range r.subscribers {
		c.Subscribers[i] = u.user
	}
	return c
}

// Settle implements [incident.OutboxStore]. No queue is ever busy.
func (s *Store) Settle(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
	if err := s.acquire(ctx, writer); err != nil {
		return nil, err
	}
	defer s.release(writer)
	if s.inTx() {
		return nil, errClaimInTx
	}
	for i := range all {
		o := s.organizations[all[i].Key.OrganizationID]
		if q := o.claimed(&all[i].Ticket); q != nil {
			s.settle(o, q, &all[i])
		}
	}
	return nil, nil
}

// claimed returns the queue of a ticket, or nil if the ticket is invalid. The receiver
// may be nil.
func (o *organization) claimed(t *incident.Ticket) *queue {
	if o == nil {
		return nil
	}
	name := queueName{identifier: t.Key.Identifier}
	if t.Replayed {
		name.replayed = t.Sequence
	}
	q := o.queues[name]
	if q == nil || q.fence == 0 || q.fence != t.Fence || q.head() != t.Sequence {
		return nil
	}
	return q
}

// settle ends the claim of a queue.
func (s *Store) settle(o *organization, q *queue, end *incident.Settlement) {
	b := &s.outbox
	now := b.now()
	switch end.Outcome {
	case incident.OutcomeDelivered:
		b.advance(o, q, now)
	case incident.OutcomeRetry:
		q.fence = 0
		b.delay(q, after(now, end.After), now)
	case incident.OutcomeRelease:
		q.fence = 0
		q.attempts--
		b.delay(q, now, now)
	case incident.OutcomePark:
		s.park(o, q, end.Error)
		b.advance(o, q, now)
	}
}

// Backlog implements [incident.OutboxStore].
func (s *Store) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	if err := s.acquire(ctx, reader); err != nil {
		return nil, err
	}
	defer s.release(reader)
	b := &s.outbox
	backlog := incident.Backlog{Pending: b.pending, Parked: b.parked}
	if b.oldest != nil {
		backlog.Oldest = b.now() - b.oldest.since
	}
	return map[string]incident.Backlog{"": backlog}, nil
}

var errClaimInTx = fmt.Errorf("memory: %w: Claim and Settle must not be called in a transaction", incident.ErrInvalid)
