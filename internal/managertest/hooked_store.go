package managertest

import (
	"context"

	"github.com/incidentkit/incident"
)

// hook wraps the calls of a store.
type hook interface {
	around(ctx context.Context, isWrite bool, call func(context.Context) error) error
	inTx(ctx context.Context, s incident.Store, fn func(tx incident.Store) error) error
}

// hookedStore is a store with a hook around each call, including calls within
// transactions.
type hookedStore struct {
	incident.Store
	hook  hook
	local bool // the result of Local, whatever the store's own
}

// Unwrap lets a Manager find the [incident.ReportStore] within. Its reports have no hook.
func (s *hookedStore) Unwrap() incident.Store { return s.Store }

// Local implements [incident.LocalStore].
func (s *hookedStore) Local() bool { return s.local }

// InTx implements [incident.Store].
func (s *hookedStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return s.hook.inTx(ctx, s.Store, func(tx incident.Store) error {
		return fn(withHook(tx, s.hook, false))
	})
}

func hooked[T any](ctx context.Context, h hook, isWrite bool, call func(context.Context) (T, error)) (v T, err error) {
	err = h.around(ctx, isWrite, func(ctx context.Context) (err error) {
		v, err = call(ctx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}

func (s *hookedStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (incident.State, error) {
		return s.Store.Load(ctx, key)
	})
}

func (s *hookedStore) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (incident.SlotState, error) {
		return s.Store.LoadSlot(ctx, slot)
	})
}

func (s *hookedStore) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (incident.Details, error) {
		return s.Store.LoadDetails(ctx, key, user)
	})
}

func (s *hookedStore) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) ([]incident.Incident, error) {
		return s.Store.Incidents(ctx, q)
	})
}

func (s *hookedStore) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (map[incident.Status]int, error) {
		return s.Store.CountIncidents(ctx, q)
	})
}

func (s *hookedStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.Applied, error) {
		return s.Store.Apply(ctx, c)
	})
}

func (s *hookedStore) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (incident.ActivityLog, error) {
		return s.Store.Activities(ctx, key, q)
	})
}

func (s *hookedStore) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) (incident.Activity, error) {
		return s.Store.Activity(ctx, key, sequence)
	})
}

func (s *hookedStore) ReviseActivity(ctx context.Context, a incident.Activity) error {
	return s.hook.around(ctx, true, func(ctx context.Context) error { return s.Store.ReviseActivity(ctx, a) })
}

func (s *hookedStore) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.Seen, error) {
		return s.Store.MarkSeen(ctx, seen)
	})
}

func (s *hookedStore) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) ([]incident.Seen, error) {
		return s.Store.SeenBy(ctx, key)
	})
}

func (s *hookedStore) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.Subscription, error) {
		return s.Store.Subscribe(ctx, sub)
	})
}

func (s *hookedStore) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return s.hook.around(ctx, true, func(ctx context.Context) error { return s.Store.Unsubscribe(ctx, key, user) })
}

func (s *hookedStore) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) ([]incident.Subscription, error) {
		return s.Store.Subscribers(ctx, key)
	})
}

// hookedOutbox is a hookedStore with an outbox. Calls of the outbox itself have no hook.
type hookedOutbox struct {
	*hookedStore
	outbox incident.OutboxStore
}

var _ incident.OutboxStore = (*hookedOutbox)(nil)

// withHook wraps the calls of s with h. The result is an [incident.OutboxStore] if s is.
func withHook(s incident.Store, h hook, local bool) incident.Store {
	hooked := &hookedStore{Store: s, hook: h, local: local}
	if outbox, ok := s.(incident.OutboxStore); ok {
		return &hookedOutbox{hooked, outbox}
	}
	return hooked
}

func (s *hookedOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	return s.outbox.Claim(ctx, q)
}

func (s *hookedOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	return s.outbox.Settle(ctx, all)
}

func (s *hookedOutbox) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	return s.outbox.Backlog(ctx)
}

func (s *hookedOutbox) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	return s.outbox.Parked(ctx, q)
}

func (s *hookedOutbox) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.outbox.Replay(ctx, q)
}

func (s *hookedOutbox) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.outbox.DiscardParked(ctx, q)
}

func (s *hookedOutbox) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	return s.outbox.Discard(ctx, notifier, limit)
}

func (s *hookedOutbox) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (bool, error) { return s.outbox.SetReminder(ctx, w) })
}

func (s *hookedOutbox) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	return s.hook.around(ctx, true, func(ctx context.Context) error { return s.outbox.CancelReminder(ctx, key, name) })
}

func (s *hookedOutbox) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) ([]incident.Reminder, error) {
		return s.outbox.Reminders(ctx, key)
	})
}
