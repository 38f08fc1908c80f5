package postgres

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// setReminderSQL locks the incident in its expected version, and counts the reminder in
// incident.reminded. A change that closes the incident, and that waits for the lock, does not
// see the reminder. It finds another count, writes nothing, and is repeated.
//
// The first fence of a reminder is the time. With the random steps of claims, an earlier reminder of
// the same name had other fences.
const setReminderSQL = `
WITH target AS (
	UPDATE @incident
	SET reminded = coalesce(reminded, 0) + 1
	WHERE organization_id = $1 AND identifier = ? AND version = ?
	RETURNING identifier
), written AS (
	INSERT INTO @incident_queue AS q (organization_id, identifier, notifier, reminder, replayed, next, last, due, since,
		fence, unless, status, notification_uuid)
	SELECT $1::text, t.identifier, ?::text, ?::text, 0, ?::bigint, ?::bigint, ?::timestamptz, ?::timestamptz,
		(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, ?::smallint, ?::smallint, ?::uuid
	FROM target t
	WHERE ? > (
		SELECT count(*)
		FROM (
			SELECT
			FROM @incident_queue
			WHERE organization_id = $1 AND identifier = ? AND reminder <> '' AND reminder <> ? AND replayed = 0
			LIMIT ?
		) others
	)
	ON CONFLICT (organization_id, identifier, reminder) WHERE reminder <> '' AND replayed = 0 DO UPDATE
	SET notifier = EXCLUDED.notifier, next = EXCLUDED.next, last = EXCLUDED.last, pending = NULL,
		due = EXCLUDED.due, ready = false, since = EXCLUDED.since, fence = q.fence + 1, attempts = 0, error = '',
		unless = EXCLUDED.unless, status = EXCLUDED.status, notification_uuid = EXCLUDED.notification_uuid
	WHERE q.notifier <> EXCLUDED.notifier OR q.next <> EXCLUDED.next OR q.unless <> EXCLUDED.unless
	RETURNING 1
)
SELECT EXISTS (SELECT FROM written) OR EXISTS (
	SELECT
	FROM target t
	JOIN @incident_queue q ON q.organization_id = $1 AND q.identifier = t.identifier AND q.reminder = ? AND q.replayed = 0
	WHERE q.notifier = ? AND q.next = ? AND q.unless = ?
)`

// reminderStateSQL finds the reason why a reminder was not set.
const reminderStateSQL = `
SELECT i.version, q.notifier, q.next, q.unless, q.notification_uuid
FROM @incident i
LEFT JOIN @incident_queue q ON q.organization_id = $1 AND q.identifier = i.identifier AND q.reminder = ? AND q.replayed = 0
WHERE i.organization_id = $1 AND i.identifier = ?`

// SetReminder implements [incident.OutboxStore]. It counts the pending reminders of an incident
// without a lock.
func (s *Store) SetReminder(ctx context.Context, w incident.ReminderWrite) (ok bool, err error) {
	err = s.write(ctx, "set reminder", func(s *Store, c *call) error {
		ok, err = queryCounted(ctx, s, c, s.setReminderStatement(w, c), func(rows rowSet) (ok bool, err error) {
			err = scanOne(rows, boolean(&ok))
			return ok, err
		})
		if err != nil || ok {
			return err
		}
		ok, err = s.isReminderSet(ctx, w, c)
		return err
	})
	return ok, err
}

func (s *Store) setReminderStatement(w incident.ReminderWrite, c *call) *statement {
	st := s.statement(counted{string(w.Key.OrganizationID), c})
	r := w.Reminder
	key, most := st.parameter(w.Key.Identifier), st.parameter(w.Most)
	notifier, name := st.parameter(r.Notifier), st.parameter(r.Name)
	micros, at, unless := st.parameter(r.At.UnixMicro()), st.parameter(r.At), st.parameter(int64(r.Unless))
	return st.add(setReminderSQL, key, w.ExpectVersion,
		notifier, name, micros, micros, at, at, unless, int64(r.Status), r.NotificationUUID,
		most, key, name, most,
		name, notifier, micros, unless)
}

// isReminderSet returns the result of a SetReminder whose latest statement wrote nothing. An
// earlier attempt may have set the reminder, or another call the same reminder.
func (s *Store) isReminderSet(ctx context.Context, w incident.ReminderWrite, c *call) (bool, error) {
	st := s.statement(string(w.Key.OrganizationID)).add(reminderStateSQL, w.Reminder.Name, w.Key.Identifier)
	var version, micros int64
	found := incident.Reminder{Unless: -1}
	_, err := queryOnce(ctx, s, st, func(rows rowSet) (none struct{}, err error) {
		err = scanOne(rows, integer(&version), text(&found.Notifier), integer(&micros), integer(&found.Unless), identity(&found.NotificationUUID))
		return none, err
	})
	isSame := found.Notifier == w.Reminder.Notifier && micros == w.Reminder.At.UnixMicro() && found.Unless == w.Reminder.Unless
	switch {
	case err != nil:
		return false, err
	case version == 0:
		return false, incident.ErrNotFound
	case isSame && found.NotificationUUID == w.Reminder.NotificationUUID && c.again.Load():
		return true, nil // an earlier attempt of this call set it
	case version != w.ExpectVersion && c.lost():
		return false, incident.ErrUnknownOutcome // the reminder may have been delivered, or ended
	case version != w.ExpectVersion:
		return false, incident.ErrVersionConflict
	}
	return isSame, nil
}

// cancelReminderSQL locks the incident before the reminder, as all writes do.
const cancelReminderSQL = `
WITH target AS (
	SELECT identifier
	FROM @incident
	WHERE organization_id = $1 AND identifier = ?
	FOR NO KEY UPDATE
), gone AS (
	DELETE FROM @incident_queue q
	USING target t
	WHERE q.organization_id = $1 AND q.identifier = t.identifier AND q.reminder = ? AND q.due < 'infinity'
)
SELECT identifier FROM target`

// CancelReminder implements [incident.OutboxStore].
func (s *Store) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	return s.write(ctx, "cancel reminder", func(s *Store, c *call) error {
		st := s.statement(counted{string(key.OrganizationID), c}).add(cancelReminderSQL, key.Identifier, name)
		found, err := queryCounted(ctx, s, c, st, readIdentifier)
		if err == nil && found == 0 {
			err = incident.ErrNotFound
		}
		return err
	})
}

const remindersSQL = `
SELECT i.identifier, q.reminder, q.notifier, q.next, q.unless, q.status, q.notification_uuid
FROM @incident i
LEFT JOIN @incident_queue q ON q.organization_id = $1 AND q.identifier = i.identifier AND q.reminder <> '' AND q.replayed = 0
WHERE i.organization_id = $1 AND i.identifier = ?
ORDER BY q.reminder`

// Reminders implements [incident.OutboxStore].
func (s *Store) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	st := s.statement(string(key.OrganizationID)).add(remindersSQL, key.Identifier)
	all, err := query(ctx, s, "reminders", st, func(rows rowSet) (all []incident.Reminder, err error) {
		var identifier, micros int64
		var r incident.Reminder
		err = scanEach(rows, func() {
			if all == nil {
				all = []incident.Reminder{}
			}
			if r.Name != "" {
				r.At = time.UnixMicro(micros).UTC()
				all = append(all, r)
			}
		}, integer(&identifier), text(&r.Name), text(&r.Notifier), integer(&micros), integer(&r.Unless), integer(&r.Status), identity(&r.NotificationUUID))
		return all, err
	})
	if err == nil && all == nil {
		err = notFound("reminders")
	}
	return all, err
}
