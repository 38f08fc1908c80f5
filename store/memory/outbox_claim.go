package memory

import (
	"context"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// Claim implements [incident.OutboxStore].
func (s *Store) Claim(ctx context.Context, c incident.ClaimQuery) ([]incident.Claim, error) {
	if err := s.acquire(ctx, write); err != nil {
		return nil, err
	}
	defer s.release(write)
	if s.inTx() {
		return nil, errOutboxInTx
	}
	b := s.outbox.schedules[c.Notifier]
	if b == nil {
		return []incident.Claim{}, nil
	}
	at := time.Now()
	now := at.Sub(s.outbox.start)
	b.wake(now)
	found, unwanted := s.claimable(b, &c)
	for _, q := range unwanted {
		b.shut(s.organizations[q.key.OrganizationID], q)
	}
	claims := make([]incident.Claim, 0, len(found))
	for _, q := range found {
		if first, _ := s.firstWanted(q, &c.NotifyTarget); first != q.head() {
			b.skipTo(q, first, now)
		}
		s.outbox.fence++
		q.fence = s.outbox.fence
		q.attempts++
		b.delay(q, after(now, c.Lease), now)
		claim := s.claimOf(q)
		claim.Now = timeOf(at.UnixMicro())
		claims = append(claims, claim)
	}
	return claims, nil
}

// claimable returns the queues that a claim gets, and the queues on its way that hold no
// activity of a wanted type.
func (s *Store) claimable(b *schedule, c *incident.ClaimQuery) (found, unwanted []*queue) {
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
		for ; ok && most > 0 && it.Item().key.OrganizationID == org; ok = it.Next() {
			q := it.Item()
			if _, wanted := s.firstWanted(q, &c.NotifyTarget); wanted {
				found = append(found, q)
				most--
			} else {
				unwanted = append(unwanted, q)
			}
		}
		if ok && it.Item().key.OrganizationID == org {
			ok = seekAfter(org)
		}
	}
	return found, unwanted
}

// firstWanted returns the sequence of the first activity of a queue with a wanted type. ok is
// false if there is none. A reminder is always wanted.
func (s *Store) firstWanted(q *queue, t *incident.NotifyTarget) (sequence int64, ok bool) {
	if len(t.Types) == 0 || q.reminder != nil {
		return q.head(), true
	}
	_, r := s.record(q.key)
	for _, among := range q.spans {
		for i := among.first; i <= among.last; i++ {
			if t.Wants(incident.ActivityType(r.activities[i-1].kind)) {
				return i, true
			}
		}
	}
	return 0, false
}

// claimOf returns the claim of the queue's head.
func (s *Store) claimOf(q *queue) incident.Claim {
	_, r := s.record(q.key)
	c := incident.Claim{
		Ticket: incident.Ticket{
			Key: q.key, Notifier: q.schedule.notifier, Reminder: q.reminderName(),
			Sequence: q.head(), Replayed: q.replayed, Fence: q.fence, More: q.more(),
		},
		Incident:    r.incident.Clone(),
		Subscribers: make([]incident.UserID, len(r.subscribers)),
		Attempt:     int(q.attempts),
	}
	if q.reminder != nil {
		c.Reminder = new(*q.reminder)
	} else {
		c.Activity = r.activity(q.head())
	}
	for i, u := range r.subscribers {
		c.Subscribers[i] = u.user
	}
	return c
}
