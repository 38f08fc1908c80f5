package memory

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// parked is a notification that was given up.
type parked struct {
	organization incident.OrganizationID
	incident.ParkedPosition
	reminder *incident.Reminder // nil for an activity
	attempts int
	failure  string
	date     int64 // microseconds
}

func (p parked) less(other parked) bool {
	c := cmp.Compare(p.organization, other.organization)
	if c == 0 {
		c = cmp.Compare(p.Identifier, other.Identifier)
	}
	if c == 0 {
		c = cmp.Compare(p.Reminder, other.Reminder)
	}
	if c == 0 {
		c = cmp.Compare(p.Sequence, other.Sequence)
	}
	return c < 0
}

func (p parked) key() incident.Key {
	return incident.Key{OrganizationID: p.organization, Identifier: p.Identifier}
}

// park keeps the head of a queue as parked. The caller removes it from the queue.
func (b *schedule) park(q *queue, failure string) {
	b.parked.Set(parked{
		organization:   q.key.OrganizationID,
		ParkedPosition: q.position(),
		reminder:       q.reminder,
		attempts:       int(q.attempts),
		failure:        failure,
		date:           time.Now().UnixMicro(),
	})
}

// selected returns the parked notifications that a query selects, in order. The receiver may be
// nil.
func (b *schedule) selected(q *incident.ParkedQuery) (page []parked) {
	if b == nil {
		return nil
	}
	start := parked{organization: q.OrganizationID, ParkedPosition: q.After}
	if start.Identifier < q.Identifier {
		start.ParkedPosition = incident.ParkedPosition{Identifier: q.Identifier}
	}
	b.parked.Ascend(start, func(p parked) bool {
		if p.organization != q.OrganizationID || q.Identifier != 0 && p.Identifier != q.Identifier {
			return false
		}
		if start.less(p) {
			page = append(page, p)
		}
		return len(page) < q.Limit
	})
	return page
}

// Parked implements [incident.OutboxStore].
func (s *Store) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, err
	}
	defer s.release(scan)
	var page []incident.ParkedNotification
	for _, p := range s.outbox.schedules[q.Notifier].selected(&q) {
		n := incident.ParkedNotification{
			Incident:   p.key(),
			Notifier:   q.Notifier,
			Attempts:   p.attempts,
			Error:      p.failure,
			DateParked: timeOf(p.date),
		}
		if p.reminder != nil {
			n.Reminder, n.NotificationUUID = new(*p.reminder), p.reminder.NotificationUUID
		} else {
			_, r := s.record(n.Incident)
			n.Sequence, n.NotificationUUID = p.Sequence, r.activities[p.Sequence-1].notification
		}
		page = append(page, n)
	}
	return page, nil
}

// Replay implements [incident.OutboxStore].
func (s *Store) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.unpark(ctx, &q, s.replay)
}

// DiscardParked implements [incident.OutboxStore].
func (s *Store) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.unpark(ctx, &q, func(*schedule, parked) {})
}

// unpark removes the parked notifications that a query selects, and calls fn with each.
func (s *Store) unpark(ctx context.Context, q *incident.ParkedQuery, fn func(*schedule, parked)) (done incident.ParkedBatch, err error) {
	if err := s.acquire(ctx, own); err != nil {
		return done, err
	}
	defer s.release(own)
	if !s.organizations[q.OrganizationID].has(q.Identifier) && q.Identifier != 0 {
		return done, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	b := s.outbox.schedules[q.Notifier]
	for _, p := range b.selected(q) {
		b.parked.Delete(p)
		if s.inTx() {
			s.undo(func() { b.parked.Set(p) })
		}
		fn(b, p)
		done.Count++
		done.Last = p.ParkedPosition
	}
	return done, nil
}

// replay makes a parked notification a queue of its own, which is due at once.
func (s *Store) replay(b *schedule, p parked) {
	o := s.organizations[p.organization]
	if p.reminder != nil {
		// A reminder that was parked, replayed and set again with the same At can be parked
		// twice.
		if old := o.reminder(b, p.key(), p.ParkedPosition, true); old != nil {
			s.shut(o, old)
		}
	}
	q := newQueue(b, p.key(), span{p.Sequence, p.Sequence})
	q.replayed, q.reminder = true, p.reminder
	now := s.outbox.now()
	s.open(o, q, now, now)
}
