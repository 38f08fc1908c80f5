package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.UsedOutbox = (*Store)(nil)

// Queued implements [incident.UsedOutbox].
func (s *Store) Queued() bool { return s.queued.Load() }

// addQueue queues the activities that a change appends. If the incident has a queue already,
// the change locks it until the commit; claims and settlements skip it.
func addQueue(st *statement, w writing) {
	st.add(`, queued AS (
	INSERT INTO @incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - ?, activities, now(), now(), true
	FROM target`, len(w.Activities)-1)
	if w.Key.Identifier != 0 {
		st.add(`
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE
	SET last = EXCLUDED.last`)
	}
	st.add(`
)`)
}

const backlogSQL = `
SELECT coalesce(sum(last - next + 1) FILTER (WHERE due < 'infinity'), 0)::bigint,
	count(*) FILTER (WHERE due = 'infinity'),
	coalesce(extract(epoch FROM now() - min(since) FILTER (WHERE due < 'infinity')) * 1000000, 0)::bigint
FROM @incident_outbox
WHERE $1 = $1::text`

// Backlog implements [incident.OutboxStore]. It reads the whole outbox, but that
// contains only pending and parked notifications.
func (s *Store) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	b, err := query(ctx, s, "backlog", s.statement("").add(backlogSQL), func(rows rowSet) (b incident.Backlog, err error) {
		var oldest int64
		err = scanOne(rows, integer(&b.Pending), integer(&b.Parked), integer(&oldest))
		b.Oldest = time.Duration(oldest) * time.Microsecond
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return map[string]incident.Backlog{"": b}, nil
}

const parkedSQL = `
SELECT o.identifier, o.replayed, o.attempts, o.error, o.since, a.notification_uuid
FROM @incident_outbox o
JOIN @incident_activity a ON a.organization_id = $1 AND a.identifier = o.identifier AND a.sequence = o.replayed
WHERE o.organization_id = $1 AND o.due = 'infinity' AND (o.identifier, o.replayed) > (?::bigint, ?::bigint)
ORDER BY o.identifier, o.replayed
LIMIT ?`

// Parked implements [incident.OutboxStore].
func (s *Store) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	st := s.statement(string(q.OrganizationID)).add(parkedSQL, q.After.Identifier, q.After.Sequence, int64(q.Limit))
	return query(ctx, s, "parked", st, func(rows rowSet) (all []incident.ParkedNotification, err error) {
		p := incident.ParkedNotification{Incident: incident.Key{OrganizationID: q.OrganizationID}}
		err = scanEach(rows, func() { all = append(all, p) },
			integer(&p.Incident.Identifier), integer(&p.Sequence), integer(&p.Attempts), text(&p.Error),
			instant(&p.DateParked), identity(&p.NotificationUUID))
		return all, err
	})
}

const replaySQL = `
WITH replayed AS (
	UPDATE @incident_outbox
	SET due = now(), ready = true, since = now(), attempts = 0
	WHERE organization_id = $1 AND identifier = ? AND due = 'infinity'
	RETURNING identifier
)
SELECT identifier, (SELECT count(*) FROM replayed)
FROM @incident
WHERE organization_id = $1 AND identifier = ?`

// Replay implements [incident.OutboxStore]. After a lost reply the count may be less than the
// number of replayed notifications.
func (s *Store) Replay(ctx context.Context, q incident.ParkedQuery) (b incident.ParkedBatch, err error) {
	key := incident.Key{OrganizationID: q.OrganizationID, Identifier: q.Identifier}
	n := 0
	err = s.write(ctx, "replay", func(c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).add(replaySQL, key.Identifier, key.Identifier)
		found := int64(0)
		n, err = queryCounted(ctx, s, c, st, func(rows rowSet) (n int, err error) {
			err = scanOne(rows, integer(&found), integer(&n))
			return n, err
		})
		if err == nil && found == 0 {
			err = incident.ErrNotFound
		}
		return err
	})
	return incident.ParkedBatch{Count: n}, err
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

// errLater is the answer of the methods that this store does not have yet.
var errLater = &incident.FieldError{Field: "store", Problem: "keeps no reminders and no named notifiers yet"}
