package memory

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.UsedOutbox = (*Store)(nil)

// outbox holds everything that waits for notifiers.
type outbox struct {
	start     time.Time            // origin of all times; they are durations since start
	schedules map[string]*schedule // by notifier
	fence     int64                // of the latest claim
}

func newOutbox() outbox {
	return outbox{start: time.Now(), schedules: map[string]*schedule{}}
}

// now uses the monotonic clock: setting the machine's clock does not affect it.
func (b *outbox) now() time.Duration { return time.Since(b.start) }

// after returns now + d, or the greatest duration instead of an overflow.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

// schedule returns the schedule of a notifier, and adds it if missing. An empty schedule reads
// like a missing schedule.
func (b *outbox) schedule(notifier string) *schedule {
	found := b.schedules[notifier]
	if found == nil {
		found = newSchedule(notifier)
		b.schedules[notifier] = found
	}
	return found
}

// Queued implements [incident.UsedOutbox].
func (s *Store) Queued() bool { return s.queued.Load() }

// enqueue queues the activities of a change for its notifiers. first is the sequence of the
// first activity.
func (s *Store) enqueue(o *organization, key incident.Key, c *incident.Change, first int64) {
	s.queued.Store(true)
	for i := range c.Notify {
		target := &c.Notify[i]
		b := s.outbox.schedule(target.Notifier)
		if len(target.Types) == 0 {
			s.extend(o, b, key, span{first, first + int64(len(c.Activities)) - 1})
			continue
		}
		run := span{first: first}
		for j := range c.Activities {
			run.last = first + int64(j)
			if !target.Wants(c.Activities[j].Type) {
				s.extend(o, b, key, span{run.first, run.last - 1})
				run.first = run.last + 1
			}
		}
		s.extend(o, b, key, run)
	}
}

// claimNew claims the queues of a new incident that have a lease, and returns the fence of the claims.
func (s *Store) claimNew(o *organization, identifier int64, c *incident.Change) int64 {
	now := s.outbox.now()
	s.outbox.fence++
	for i, lease := range c.Leases {
		b := s.outbox.schedule(c.Notify[i].Notifier)
		if q := o.queues[queueName{b, identifier}]; q != nil && lease > 0 {
			q.fence, q.attempts = s.outbox.fence, 1
			b.delay(q, after(now, lease), now)
		}
	}
	return s.outbox.fence
}

// extend appends the added activities of an incident to its queue, and opens the queue if there
// is none.
func (s *Store) extend(o *organization, b *schedule, key incident.Key, added span) {
	if added.length() <= 0 {
		return
	}
	q := o.queues[queueName{b, key.Identifier}]
	if q == nil {
		now := s.outbox.now()
		s.open(o, newQueue(b, key, added), now, now)
		return
	}
	q.extend(added)
	b.pending += added.length()
	if s.inTx() {
		s.undo(func() {
			q.truncate(added.first)
			b.pending -= added.length()
		})
	}
}

// open adds a queue.
func (s *Store) open(o *organization, q *queue, due, now time.Duration) {
	q.schedule.open(o, q, due, now)
	if s.inTx() {
		s.undo(func() { q.schedule.shut(o, q) })
	}
}

// shut removes a queue with all that it holds.
func (s *Store) shut(o *organization, q *queue) {
	q.schedule.shut(o, q)
	if s.inTx() {
		s.undo(func() { q.schedule.reopen(o, q) })
	}
}

// Settle implements [incident.OutboxStore]. No queue is ever busy.
func (s *Store) Settle(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
	if err := s.acquire(ctx, write); err != nil {
		return nil, err
	}
	defer s.release(write)
	if s.inTx() {
		return nil, errOutboxInTx
	}
	for i := range all {
		if o, q := s.claimed(&all[i]); q != nil {
			s.settle(o, q, &all[i])
		}
	}
	return nil, nil
}

// claimed returns the queue of a settlement with its organization. The queue is nil if the ticket is
// invalid.
func (s *Store) claimed(end *incident.Settlement) (*organization, *queue) {
	t := &end.Ticket
	o, b := s.organizations[t.Key.OrganizationID], s.outbox.schedules[t.Notifier]
	if o == nil || b == nil {
		return o, nil
	}
	q := o.queue(b, t)
	if q == nil || q.schedule != b || q.fence == 0 || q.fence != t.Fence ||
		q.head() != t.Sequence && (end.Before == 0 || !q.has(t.Sequence)) {
		return o, nil
	}
	return o, q
}

// settle ends the claim of a queue.
func (s *Store) settle(o *organization, q *queue, end *incident.Settlement) {
	b := q.schedule
	now := s.outbox.now()
	if end.Before > 0 {
		attempts := q.attempts
		b.skipTo(q, end.Sequence, now)
		q.attempts = attempts
	}
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
		b.park(q, end.Error)
		b.advance(o, q, now)
	}
}

// Backlog implements [incident.OutboxStore].
func (s *Store) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, err
	}
	defer s.release(scan)
	now := s.outbox.now()
	all := make(map[string]incident.Backlog, len(s.outbox.schedules))
	for notifier, b := range s.outbox.schedules {
		all[notifier] = b.backlog(now)
	}
	return all, nil
}

// Discard implements [incident.OutboxStore].
func (s *Store) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	if err := s.acquire(ctx, own); err != nil {
		return 0, err
	}
	defer s.release(own)
	if s.inTx() {
		return 0, errOutboxInTx
	}
	b := s.outbox.schedules[notifier]
	if b == nil {
		return 0, nil
	}
	n := 0
	for ; limit > 0; limit-- {
		if q := b.any(); q != nil {
			n += int(q.length())
			b.shut(s.organizations[q.key.OrganizationID], q)
		} else if _, ok := b.parked.PopMin(); ok {
			n++
		} else {
			break
		}
	}
	if n == 0 {
		delete(s.outbox.schedules, notifier)
	}
	return n, nil
}

var errOutboxInTx = fmt.Errorf("memory: %w: Claim, Settle and Discard must not be called in a transaction", incident.ErrInvalid)
