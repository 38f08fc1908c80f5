package managertest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The notifiers of a machine, beside the notifier without a name.
const (
	notifiesAll  = "all"
	notifiesSome = "some" // of someTypes
)

var someTypes = []incident.ActivityType{
	incident.ActivityTypeComment, incident.ActivityTypeStatusChange, incident.ActivityTypeAssigned,
}

// notifiers are the targets of a machine, in order of name.
var notifiers = []incident.NotifyTarget{{}, {Notifier: notifiesAll}, {Notifier: notifiesSome, Types: someTypes}}

var reminderNames = []string{"escalate", "Escalate", "é 🚒"}

func remind(key incident.Key, r incident.Reminder) call {
	return call{
		name: "Remind", args: []any{key, r}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer[any](nil, m.Remind(ctx, key, r))
		},
		expect: func(w *world) (any, error) { return nil, w.remind(key, r) },
	}
}

func cancelReminder(key incident.Key, name string) call {
	return call{
		name: "CancelReminder", args: []any{key, name}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer[any](nil, m.CancelReminder(ctx, key, name))
		},
		expect: func(w *world) (any, error) { return nil, w.cancelReminder(key, name) },
	}
}

func reminders(key incident.Key) call {
	return call{
		name: "Reminders", args: []any{key}, orgs: only(key.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			all, err := m.Reminders(ctx, key)
			if err == nil {
				err = withoutUUIDs(all)
			}
			return answer(all, err)
		},
		expect: func(w *world) (any, error) { return w.reminders(key) },
	}
}

// withoutUUIDs removes the UUIDs, which the model does not know. It returns an error if two
// reminders have the same, or one has none.
func withoutUUIDs(all []incident.Reminder) error {
	seen := map[uuid.UUID]bool{{}: true}
	for i := range all {
		if seen[all[i].NotificationUUID] {
			return fmt.Errorf("reminder %q has the UUID %s, which is not its own", all[i].Name, all[i].NotificationUUID)
		}
		seen[all[i].NotificationUUID] = true
		all[i].NotificationUUID = uuid.Nil
	}
	return nil
}

func (w *world) remind(key incident.Key, r incident.Reminder) error {
	r.At = cut(r.At)
	if !w.outbox || !r.At.After(w.now) {
		return incident.ErrInvalid
	}
	in := w.find(key)
	switch {
	case in == nil:
		return incident.ErrNotFound
	case !in.active():
		return incident.ErrInvalid
	}
	r.Status, r.NotificationUUID = in.incident.Status, uuid.Nil
	was, pending := in.reminders[r.Name]
	if pending && was.At.Equal(r.At) && was.Unless == r.Unless && was.Notifier == r.Notifier {
		return nil
	}
	in.reminders[r.Name] = r
	return nil
}

func (w *world) cancelReminder(key incident.Key, name string) error {
	in := w.find(key)
	switch {
	case !w.outbox:
		return incident.ErrInvalid
	case in == nil:
		return incident.ErrNotFound
	}
	delete(in.reminders, name)
	return nil
}

func (w *world) reminders(key incident.Key) (any, error) {
	in := w.find(key)
	switch {
	case !w.outbox:
		return nil, incident.ErrInvalid
	case in == nil:
		return nil, incident.ErrNotFound
	}
	return in.reminderList(), nil
}

// reminderList returns the pending reminders, in order of name.
func (r *record) reminderList() []incident.Reminder {
	list := []incident.Reminder{}
	for _, name := range sortedKeys(r.reminders) {
		list = append(list, r.reminders[name])
	}
	return list
}

// drawReminder draws a call about reminders.
func drawReminder(s source) call {
	key := s.key()
	if s.oneIn(4, "cancel") {
		return cancelReminder(key, pick(s, "reminder", reminderNames))
	}
	r := s.reminder()
	if in := s.w.find(key); in != nil && s.oneIn(3, "again") {
		if was, ok := in.reminders[r.Name]; ok {
			r.At, r.Unless, r.Notifier = was.At, was.Unless, was.Notifier
		}
	}
	return remind(key, r)
}

// reminder is a reminder at one of a few times, which the ticks of the clock pass. By the clock of
// the store it is due.
func (s source) reminder() incident.Reminder {
	return incident.Reminder{
		Name:     pick(s, "reminder", reminderNames),
		Notifier: pick(s, "notifier", []string{"", notifiesAll, notifiesSome}),
		At: s.w.now.Truncate(time.Hour).Add(pick(s, "at", []time.Duration{
			2 * time.Hour, time.Hour, time.Hour + 1999*time.Nanosecond, 0,
		})).In(zone),
		Unless: pick(s, "unless", []incident.Unless{
			incident.UnlessClosed, incident.UnlessAcknowledged, incident.UnlessLowered, incident.UnlessAcknowledged | incident.UnlessLowered,
		}),
		Status:           pick(s, "status", statuses), // Remind ignores both
		NotificationUUID: s.optional("notification", notificationUUIDs),
	}
}

func invalidReminder(s source) call {
	key, r := s.key(), s.reminder()
	return pick(s, "field", []func() call{
		func() call { r.Name = pick(s, "bad", badIDs); return remind(key, r) },
		func() call { return cancelReminder(key, pick(s, "bad", badIDs)) },
		func() call {
			r.Notifier = pick(s, "bad", append([]string{"nobody"}, badIDs[1:]...))
			return remind(key, r)
		},
		func() call {
			r.At = pick(s, "bad", append([]time.Time{{}, s.w.now, s.w.now.Add(-time.Hour)}, badDates...))
			return remind(key, r)
		},
		func() call { r.Unless = pick(s, "bad", []incident.Unless{-1, 4, 1 << 30}); return remind(key, r) },
	})()
}
