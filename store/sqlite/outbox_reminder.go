package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// SetReminder implements [incident.OutboxStore].
func (s *Store) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	return put(ctx, s, "set reminder", func(ctx context.Context, q session) (bool, error) {
		before, err := readStored(ctx, q, w.Key, nil)
		switch {
		case err != nil:
			return false, err
		case before.version != w.ExpectVersion:
			return false, incident.ErrVersionConflict
		}
		return setReminder(ctx, q, &w)
	})
}

const deleteReminderSQL = `
DELETE FROM incident_queue WHERE organization_id = ? AND identifier = ? AND reminder = ? AND reminder <> '' AND replayed = 0`

const insertReminderSQL = `
INSERT INTO incident_queue (
	organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, ready, since, unless, status, notification_uuid
) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, 1, ?5, 0, ?5, ?6, ?7, ?8)`

// setReminder replaces the pending reminder of the same name, unless it is equal.
func setReminder(ctx context.Context, q session, w *incident.ReminderWrite) (bool, error) {
	pending, err := reminders(ctx, q, w.Key)
	if err != nil {
		return false, err
	}
	others := 0
	r := &w.Reminder
	for _, p := range pending {
		switch {
		case p.Name != r.Name:
			others++
		case p.At.Equal(r.At) && p.Unless == r.Unless && p.Notifier == r.Notifier:
			return true, nil
		}
	}
	if others >= w.Most {
		return false, nil
	}
	org := string(w.Key.OrganizationID)
	if _, err := q.exec(ctx, deleteReminderSQL, org, w.Key.Identifier, r.Name); err != nil {
		return false, err
	}
	_, err = q.exec(ctx, insertReminderSQL, org, w.Key.Identifier, r.Notifier, r.Name, micro(r.At),
		int(r.Unless), int(r.Status), r.NotificationUUID[:])
	return err == nil, err
}

const cancelReminderSQL = `
DELETE FROM incident_queue
WHERE organization_id = ? AND identifier = ? AND reminder = ? AND reminder <> '' AND due < 9223372036854775807`

// CancelReminder implements [incident.OutboxStore].
func (s *Store) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	_, err := put(ctx, s, "cancel reminder", func(ctx context.Context, q session) (struct{}, error) {
		if err := mustExist(ctx, q, key); err != nil {
			return struct{}{}, err
		}
		_, err := q.exec(ctx, cancelReminderSQL, string(key.OrganizationID), key.Identifier, name)
		return struct{}{}, err
	})
	return err
}

// Reminders implements [incident.OutboxStore].
func (s *Store) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	return read(ctx, s, "reminders", snapshot, func(ctx context.Context, q session) ([]incident.Reminder, error) {
		if err := mustExist(ctx, q, key); err != nil {
			return nil, err
		}
		return reminders(ctx, q, key)
	})
}

const remindersSQL = `
SELECT reminder, notifier, next, unless, status, notification_uuid FROM incident_queue
WHERE organization_id = ? AND identifier = ? AND reminder <> '' AND replayed = 0 ORDER BY reminder`

func reminders(ctx context.Context, q session, key incident.Key) (all []incident.Reminder, err error) {
	var r incident.Reminder
	err = queryEach(ctx, q, remindersSQL, []any{string(key.OrganizationID), key.Identifier}, func() { all = append(all, r) },
		text(&r.Name), text(&r.Notifier), instant(&r.At), integer(&r.Unless), integer(&r.Status), identity(&r.NotificationUUID))
	return all, err
}
