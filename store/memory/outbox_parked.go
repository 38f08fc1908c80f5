package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// parked is a notification that was given up.
type parked struct {
	identifier, sequence int64
	attempts             int
	failure              string
	date                 int64 // microseconds
}

func (p parked) less(other parked) bool {
	if p.identifier != other.identifier {
		return p.identifier < other.identifier
	}
	return p.sequence < other.sequence
}

// park keeps the head of a queue as parked. The caller removes it from the queue.
func (s *Store) park(o *organization, q *queue, failure string) {
	s.keepParked(o, parked{
		identifier: q.key.Identifier,
		sequence:   q.head(),
		attempts:   q.attempts,
		failure:    failure,
		date:       time.Now().UnixMicro(),
	})
}

func (s *Store) keepParked(o *organization, p parked) {
	if o.parked == nil {
		o.parked = newTree(parked.less)
	}
	o.parked.Set(p)
	s.outbox.parked++
}

func (s *Store) dropParked(o *organization, p parked) {
	o.parked.Delete(p)
	s.outbox.parked--
}

// parkedAfter calls fn with the notifications parked after the given sequence, in order,
// until fn returns false. The receiver may be nil.
func (o *organization) parkedAfter(identifier, sequence int64, fn func(parked) bool) {
	if o == nil || o.parked == nil {
		return
	}
	start := parked{identifier: identifier, sequence: sequence}
	o.parked.Ascend(start, func(p parked) bool { return !start.less(p) || fn(p) })
}

// Parked implements [incident.OutboxStore].
func (s *Store) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	if err := s.acquire(ctx, reader); err != nil {
		return nil, err
	}
	defer s.release(reader)
	o := s.organizations[q.OrganizationID]
	var page []incident.ParkedNotification
	o.parkedAfter(q.After.Identifier, q.After.Sequence, func(p parked) bool {
		page = append(page, incident.ParkedNotification{
			Incident:         incident.Key{OrganizationID: q.OrganizationID, Identifier: p.identifier},
			Sequence:         p.sequence,
			NotificationUUID: o.get(p.identifier).activities[p.sequence-1].notification,
			Attempts:         p.attempts,
			Error:            p.failure,
			DateParked:       timeOf(p.date),
		})
		return len(page) < q.Limit
	})
	return page, nil
}

// Replay implements [incident.OutboxStore].
func (s *Store) Replay(ctx context.Context, pq incident.ParkedQuery) (incident.ParkedBatch, error) {
	key := incident.Key{OrganizationID: pq.OrganizationID, Identifier: pq.Identifier}
	if err := s.acquire(ctx, writer); err != nil {
		return incident.ParkedBatch{}, err
	}
	defer s.release(writer)
	o, r := s.record(key)
	if r == nil && pq.Identifier != 0 {
		return incident.ParkedBatch{}, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	var all []parked
	o.parkedAfter(key.Identifier, 0, func(p parked) bool {
		if pq.Identifier != 0 && p.identifier != pq.Identifier {
			return false
		}
		all = append(all, p)
		return true
	})
	for _, p := range all {
		s.replay(o, incident.Key{OrganizationID: pq.OrganizationID, Identifier: p.identifier}, p)
	}
	return incident.ParkedBatch{Count: len(all)}, nil
}

// DiscardParked implements [incident.OutboxStore].
func (s *Store) DiscardParked(context.Context, incident.ParkedQuery) (incident.ParkedBatch, error) {
	return incident.ParkedBatch{}, errLater
}

// Discard implements [incident.OutboxStore].
func (s *Store) Discard(context.Context, string, int) (int, error) { return 0, errLater }

// SetReminder implements [incident.OutboxStore].
func (s *Store) SetReminder(context.Context, incident.ReminderWrite) (bool, error) {
	return false, errLater
}

// CancelReminder implements [incident.OutboxStore].
func (s *Store) CancelReminder(context.Context, incident.Key, string) error { return errLater }

// Reminders implements [incident.OutboxStore].
func (s *Store) Reminders(context.Context, incident.Key) ([]incident.Reminder, error) {
	return nil, errLater
}

// replay moves a parked notification to a queue of its own.
func (s *Store) replay(o *organization, key incident.Key, p parked) {
	q := newQueue(key, span{p.sequence, p.sequence})
	q.replayed = true
	s.dropParked(o, p)
	s.outbox.open(o, q)
	if s.inTx() {
		s.undo(func() {
			s.outbox.shut(o, q)
			s.keepParked(o, p)
		})
	}
}

// errLater is the answer of the methods that this store does not have yet.
var errLater = &incident.FieldError{Field: "store", Problem: "keeps no reminders and no named notifiers yet"}
