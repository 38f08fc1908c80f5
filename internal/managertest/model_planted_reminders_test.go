package managertest

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// forgetful is an outbox that breaks a rule of reminders or notifiers.
type forgetful struct {
	incident.OutboxStore
	change func(c *incident.Change)
	set    func(ctx context.Context, s incident.OutboxStore, w *incident.ReminderWrite) (skip bool)
	cancel func(name *string) (skip bool)
	list   func(all []incident.Reminder) []incident.Reminder
}

func (s *forgetful) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return s.OutboxStore.InTx(ctx, func(tx incident.Store) error {
		inner := *s
		inner.OutboxStore = tx.(incident.OutboxStore)
		return fn(&inner)
	})
}

func (s *forgetful) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if s.change != nil {
		s.change(&c)
	}
	return s.OutboxStore.Apply(ctx, c)
}

func (s *forgetful) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	if s.set != nil && s.set(ctx, s.OutboxStore, &w) {
		return true, nil
	}
	return s.OutboxStore.SetReminder(ctx, w)
}

func (s *forgetful) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	if s.cancel != nil && s.cancel(&name) {
		return nil
	}
	return s.OutboxStore.CancelReminder(ctx, key, name)
}

func (s *forgetful) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	all, err := s.OutboxStore.Reminders(ctx, key)
	if s.list != nil && err == nil {
		all = s.list(all)
	}
	return all, err
}

// pendingOf returns the pending reminder of a name.
func pendingOf(ctx context.Context, s incident.OutboxStore, w *incident.ReminderWrite) *incident.Reminder {
	all, _ := s.Reminders(ctx, w.Key) // of no incident there is none
	for i := range all {
		if all[i].Name == w.Reminder.Name {
			return &all[i]
		}
	}
	return nil
}

// tampering returns a fault in the parameters of SetReminder.
func tampering(tamper func(w *incident.ReminderWrite)) forgetful {
	return forgetful{set: func(_ context.Context, _ incident.OutboxStore, w *incident.ReminderWrite) bool {
		tamper(w)
		return false
	}}
}

// ignoreVersion is the fault that SetReminder accepts any version.
func ignoreVersion(ctx context.Context, s incident.OutboxStore, w *incident.ReminderWrite) bool {
	if now, err := s.Load(ctx, w.Key); err == nil {
		w.ExpectVersion = now.Incident.Version
	}
	return false
}

// Each planted fault of reminders, or of the queues of notifiers, must make the check fail.
func TestModel_CatchesReminders(t *testing.T) {
	for name, fault := range map[string]forgetful{
		"reminders that outlive the close":  {change: func(c *incident.Change) { c.EndReminders = false }},
		"reminders that any change ends":    {change: func(c *incident.Change) { c.EndReminders = c.Incident != nil }},
		"cancellations that do nothing":     {cancel: func(*string) bool { return true }},
		"cancellations of another reminder": {cancel: func(name *string) bool { *name = reminderNames[0]; return false }},
		"moves that do nothing": {set: func(ctx context.Context, s incident.OutboxStore, w *incident.ReminderWrite) bool {
			return pendingOf(ctx, s, w) != nil
		}},
		"a repetition that renews the status": {set: func(ctx context.Context, s incident.OutboxStore, w *incident.ReminderWrite) bool {
			if was := pendingOf(ctx, s, w); was != nil && was.At.Equal(w.Reminder.At) {
				_ = s.CancelReminder(ctx, w.Key, w.Reminder.Name)
			}
			return false
		}},
		"a move to an hour later":     tampering(func(w *incident.ReminderWrite) { w.Reminder.At = w.Reminder.At.Add(time.Hour) }),
		"conditions that are lost":    tampering(func(w *incident.ReminderWrite) { w.Reminder.Unless &= incident.UnlessLowered }),
		"the status of new incidents": tampering(func(w *incident.ReminderWrite) { w.Reminder.Status = incident.StatusOpen }),
		"a notifier that is lost":     tampering(func(w *incident.ReminderWrite) { w.Reminder.Notifier = "" }),
		"names without case": tampering(func(w *incident.ReminderWrite) {
			if w.Reminder.Name == reminderNames[1] {
				w.Reminder.Name = reminderNames[0]
			}
		}),
		"one UUID for all": tampering(func(w *incident.ReminderWrite) { w.Reminder.NotificationUUID = notificationUUIDs[0] }),
		"a list without the last": {list: func(all []incident.Reminder) []incident.Reminder {
			return all[:max(len(all)-1, min(len(all), 1))]
		}},
		"queues of the first notifier alone": {change: func(c *incident.Change) { c.Notify = c.Notify[:min(len(c.Notify), 1)] }},
		"queues of no type":                  {change: func(c *incident.Change) { c.Notify = c.Notify[:min(len(c.Notify), 2)] }},
		"queues of a wrong type": {change: func(c *incident.Change) {
			for i := range c.Notify {
				if c.Notify[i].Notifier == notifiesSome {
					c.Notify = append(c.Notify[:i:i], incident.NotifyTarget{Notifier: notifiesSome, Types: someTypes[:1]})
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				broken := fault
				broken.OutboxStore = memory.New()
				return setup{store: &broken, cache: incident.NoCache, focused: true}
			})
		})
	}
	t.Run("versions that are ignored", func(t *testing.T) {
		mustFalsify(t, func(uint64) setup {
			return setup{processes: 2, focused: true, store: &forgetful{OutboxStore: memory.New(), set: ignoreVersion}}
		})
	})
}
