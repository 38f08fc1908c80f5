package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

const parkedSQL = `
SELECT p.identifier, p.reminder, p.replayed, p.attempts, p.error, p.since, p.unless, p.status,
	coalesce(p.notification_uuid, a.notification_uuid)
FROM incident_queue p
LEFT JOIN incident_activity a ON p.reminder = '' AND a.organization_id = p.organization_id AND a.identifier = p.identifier AND a.sequence = p.replayed
WHERE p.notifier = ?1 AND p.organization_id = ?2 AND p.due = 9223372036854775807
	AND (p.identifier, p.reminder, p.replayed) > (?3, ?4, ?5) AND p.identifier >= ?6 AND p.identifier <= ?7
ORDER BY p.identifier, p.reminder, p.replayed LIMIT ?8`

// Parked implements [incident.OutboxStore].
func (s *Store) Parked(ctx context.Context, pq incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	return read(ctx, s, "parked", oneStatement, func(ctx context.Context, q session) ([]incident.ParkedNotification, error) {
		return parked(ctx, q, &pq)
	})
}

func parked(ctx context.Context, q session, pq *incident.ParkedQuery) (page []incident.ParkedNotification, err error) {
	first, last := int64(0), int64(maxInteger)
	if pq.Identifier != 0 {
		first, last = pq.Identifier, pq.Identifier
	}
	var p incident.ParkedNotification
	var r incident.Reminder
	args := []any{
		pq.Notifier, string(pq.OrganizationID), pq.After.Identifier, pq.After.Reminder, pq.After.Sequence, first, last, pq.Limit,
	}
	err = queryEach(ctx, q, parkedSQL, args, func() {
		p.Notifier, p.Incident.OrganizationID = pq.Notifier, pq.OrganizationID
		if r.Name != "" {
			r.Notifier, r.At, r.NotificationUUID = pq.Notifier, timeOf(p.Sequence), p.NotificationUUID
			p.Reminder, p.Sequence = new(r), 0
		}
		page = append(page, p)
		p, r = incident.ParkedNotification{}, incident.Reminder{}
	}, integer(&p.Incident.Identifier), text(&r.Name), integer(&p.Sequence), integer(&p.Attempts), text(&p.Error), instant(&p.DateParked),
		integer(&r.Unless), integer(&r.Status), identity(&p.NotificationUUID))
	return page, err
}

const replaySQL = `
UPDATE incident_queue SET due = ?6, ready = 1, since = ?6, fence = 0, attempts = 0, error = ''
WHERE organization_id = ?1 AND identifier = ?2 AND notifier = ?3 AND reminder = ?4 AND replayed = ?5`

// Replay implements [incident.OutboxStore].
func (s *Store) Replay(ctx context.Context, pq incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.eachParked(ctx, "replay", pq, func(ctx context.Context, q session, u *queue) error {
		_, err := q.exec(ctx, replaySQL, u.args(now())...)
		return err
	})
}

// DiscardParked implements [incident.OutboxStore].
func (s *Store) DiscardParked(ctx context.Context, pq incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.eachParked(ctx, "discard parked", pq, func(ctx context.Context, q session, u *queue) error {
		_, err := q.exec(ctx, deleteQueueSQL, u.args()...)
		return err
	})
}

// eachParked calls fn with each of the parked notifications that Parked would return.
func (s *Store) eachParked(
	ctx context.Context, op string, pq incident.ParkedQuery, fn func(ctx context.Context, q session, u *queue) error,
) (incident.ParkedBatch, error) {
	return put(ctx, s, op, func(ctx context.Context, q session) (b incident.ParkedBatch, err error) {
		if pq.Identifier != 0 {
			if err := mustExist(ctx, q, incident.Key{OrganizationID: pq.OrganizationID, Identifier: pq.Identifier}); err != nil {
				return b, err
			}
		}
		page, err := parked(ctx, q, &pq)
		if err != nil {
			return b, err
		}
		for _, p := range page {
			u := queue{key: p.Incident, notifier: pq.Notifier, replayed: p.Sequence}
			if p.Reminder != nil {
				u.reminder.Name, u.replayed = p.Reminder.Name, micro(p.Reminder.At)
			}
			if err := fn(ctx, q, &u); err != nil {
				return b, err
			}
			b.Last = incident.ParkedPosition{Identifier: p.Incident.Identifier, Reminder: u.reminder.Name, Sequence: u.replayed}
		}
		b.Count = len(page)
		return b, nil
	})
}
