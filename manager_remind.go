package incident

import (
	"context"
	"errors"
)

func (m *manager) Remind(ctx context.Context, key Key, r Reminder) error {
	return wrap(m.remind(ctx, key, r), "remind of %s", key)
}

func (m *manager) remind(ctx context.Context, key Key, r Reminder) error {
	now, err := m.begin(ctx)
	if err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if r, err = checkReminder(r, now); err != nil {
		return err
	}
	if _, err := m.outbox(); err != nil {
		return err
	}
	if r.Notifier, err = m.relays.reminding(r.Notifier); err != nil {
		return err
	}
	r.NotificationUUID = m.uuids.New()
	err = m.setReminder(ctx, key, r)
	if errors.Is(err, errImpatient) {
		isOutrun := func(error) bool { return false } // the incident is locked
		err = m.alone(ctx, patience, isOutrun, func(tx *manager) error { return tx.setReminder(ctx, key, r) })
	}
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		m.relays.named(r.Notifier).expect(r.At)
	}
	return err
}

// setReminder sets a reminder on the state of its incident, which must not change meanwhile. It
// begins again after a conflict with a writer of the incident, in a turn of its own. After patience
// conflicts with writers of other processes it returns errImpatient, except in a transaction.
func (m *manager) setReminder(ctx context.Context, key Key, r Reminder) error {
	outbox, err := m.outbox()
	if err != nil {
		return err
	}
	at := subject{key: key}
	turn := m.turns.Turn()
	defer turn.Leave()
	if m.takesTurns(key) {
		if _, err := turn.Take(ctx, at); err != nil {
			return err
		}
	}
	fresh := false
	for conflicts := 0; ; {
		began := m.coherence.Epoch()
		v, err := m.viewToChange(ctx, &at, fresh)
		if err != nil {
			return err
		}
		fresh = true
		decided, refusal := remind(r, &v.state.Incident)
		if refusal != nil {
			if v.fresh {
				return refusal
			}
			continue
		}
		m.attempt()
		ok, err := outbox.SetReminder(ctx, ReminderWrite{
			Key: key, ExpectVersion: v.state.Incident.Version, Reminder: decided, Most: MaxReminders,
		})
		if err = m.failed(err); !v.fresh && errors.Is(err, ErrNotFound) {
			m.checkHistory(ctx, at, 0, began) // the cache had it
		}
		err = m.observeAbsent(ctx, key, err)
		switch {
		case err == nil && !ok:
			return invalid("reminder", "is beyond the limit of %d pending reminders of an incident; cancel some first", MaxReminders)
		case !errors.Is(err, ErrVersionConflict) || errors.Is(err, ErrUnavailable):
			return err
		}
		m.conflicts.Add(1)
		switch conflicts++; {
		case conflicts == maxConflicts:
			return tooManyConflicts(err)
		case conflicts == patience && m.tx == nil:
			return errImpatient
		}
	}
}

// reminding returns the name of the notifier that delivers a reminder.
func (rs *relays) reminding(name string) (string, error) {
	switch {
	case rs.named(name) != nil:
		return name, nil
	case len(rs.all) == 0:
		return "", invalid("notifier", "is required: the Manager has no Notifier")
	case name != "":
		return "", invalid("notifier", "is not in the options of the Manager")
	case len(rs.all) > 1:
		return "", invalid("notifier", "is required: the Manager has several Notifiers, and none without a name")
	}
	return rs.all[0].target.Notifier, nil
}

func (m *manager) CancelReminder(ctx context.Context, key Key, name string) error {
	return wrap(m.cancelReminder(ctx, key, name), "cancel reminder of %s", key)
}

func (m *manager) cancelReminder(ctx context.Context, key Key, name string) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkID("name", name, false); err != nil {
		return err
	}
	outbox, err := m.outbox()
	if err != nil {
		return err
	}
	m.attempt()
	return m.observeAbsent(ctx, key, m.failed(outbox.CancelReminder(ctx, key, name)))
}

func (m *manager) Reminders(ctx context.Context, key Key) ([]Reminder, error) {
	reminders, err := readStore(ctx, m, key, func(ctx context.Context, key Key) ([]Reminder, error) {
		outbox, err := m.outbox()
		if err != nil {
			return nil, err
		}
		return outbox.Reminders(ctx, key)
	})
	return listed(reminders), wrap(err, "reminders of %s", key)
}
