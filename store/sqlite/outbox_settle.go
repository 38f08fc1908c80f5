package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// Settle implements [incident.OutboxStore]. No queue is ever busy.
func (s *Store) Settle(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
	if s.tx != nil {
		return nil, translate(ctx, "settle", errOutboxTx)
	}
	_, err = put(ctx, s, "settle", func(ctx context.Context, q session) (struct{}, error) {
		for i := range all {
			if err := settle(ctx, q, &all[i], now()); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return nil, err
}

const claimedSQL = `
SELECT next, last, pending, attempts, unless, status, notification_uuid FROM incident_queue
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5 AND fence = ?6 AND next = ?7`

// settling is the row of a claim that ends.
type settling struct {
	queue
	session
	ctx context.Context
	end *incident.Settlement
	now int64
}

// settle ends a claim. It ignores a ticket that is no longer valid: a row has the fence of its
// latest claim, and 0 once that was settled.
func settle(ctx context.Context, q session, end *incident.Settlement, now int64) error {
	s := settling{session: q, ctx: ctx, end: end, now: now}
	s.key, s.notifier, s.reminder.Name = end.Key, end.Notifier, end.Reminder
	if end.Replayed {
		s.replayed = end.Sequence
	}
	r := &s.reminder
	found, err := queryOne(ctx, q, claimedSQL, s.args(end.Fence, end.Sequence),
		integer(&s.next), integer(&s.last), integer(&s.pending), integer(&s.attempts),
		integer(&r.Unless), integer(&r.Status), identity(&r.NotificationUUID))
	if err != nil || !found || end.Fence == 0 {
		return err
	}
	switch end.Outcome {
	case incident.OutcomeDelivered:
		return s.advance()
	case incident.OutcomeRetry:
		return s.delay(later(now, end.After), 0)
	case incident.OutcomeRelease:
		return s.delay(now, 1)
	case incident.OutcomePark:
		return s.park()
	}
	return nil
}

const delaySQL = `
UPDATE incident_queue SET due = ?6, ready = ?7, fence = 0, attempts = attempts - ?8
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5`

// delay makes the queue due again, and takes attempts back.
func (s *settling) delay(due int64, attempts int) error {
	_, err := s.exec(s.ctx, delaySQL, s.args(due, due <= s.now, attempts)...)
	return err
}

const advanceSQL = `
UPDATE incident_queue SET next = ?6, pending = max(pending - 1, 1), due = ?7, ready = 1, since = ?7, fence = 0, attempts = 0
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5`

// advance removes the head. The next activity is due at once.
func (s *settling) advance() error {
	if s.replayed != 0 || s.reminder.Name != "" || s.end.Sequence >= s.last {
		_, err := s.exec(s.ctx, deleteQueueSQL, s.args()...)
		return err
	}
	_, err := s.exec(s.ctx, advanceSQL, s.args(s.end.Sequence+1, s.now)...)
	return err
}

const parkSQL = `
INSERT INTO incident_queue (
	organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, ready, since,
	fence, attempts, error, unless, status, notification_uuid
) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5, 1, 9223372036854775807, 0, ?6, 0, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT DO UPDATE SET
	due = excluded.due, ready = 0, since = excluded.since, fence = 0, attempts = excluded.attempts, error = excluded.error,
	unless = excluded.unless, status = excluded.status, notification_uuid = excluded.notification_uuid`

// park moves the head to a row of its own. The row is not due until it is replayed.
func (s *settling) park() error {
	if s.replayed == 0 {
		if err := s.advance(); err != nil {
			return err
		}
	}
	parked := s.queue
	parked.replayed = s.end.Sequence
	var unless, status any
	if r := s.reminder; r.Name != "" {
		unless, status = int(r.Unless), int(r.Status)
	}
	_, err := s.exec(s.ctx, parkSQL, parked.args(s.now, s.attempts, s.end.Error, unless, status, optionalUUID(s.reminder.NotificationUUID))...)
	return err
}
