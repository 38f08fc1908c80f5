package memory

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// byReminder orders the reminders of an organization by incident. Within each, the timers come
// first: there is one for each name, whatever its notifier.
func byReminder(a, b *queue) bool {
	c := cmp.Compare(a.key.Identifier, b.key.Identifier)
	if c == 0 && a.replayed != b.replayed {
		return b.replayed
	}
	if c == 0 {
		c = cmp.Compare(a.reminder.Name, b.reminder.Name)
	}
	if c == 0 && a.replayed {
		c = cmp.Compare(a.head(), b.head())
		if c == 0 {
			c = cmp.Compare(a.schedule.notifier, b.schedule.notifier)
		}
	}
	return c < 0
}

// reminderPivot returns a queue that has the place of a reminder in the order of byReminder.
func reminderPivot(b *schedule, key incident.Key, p incident.ParkedPosition, replayed bool) *queue {
	q := newQueue(b, key, span{p.Sequence, p.Sequence})
	q.reminder, q.replayed = &incident.Reminder{Name: p.Reminder}, replayed
	return q
}

// reminder returns a replayed reminder of a notifier, or the timer of a name whatever its notifier
// and Sequence. It returns nil if there is none.
func (o *organization) reminder(b *schedule, key incident.Key, p incident.ParkedPosition, replayed bool) *queue {
	if o.reminders == nil {
		return nil
	}
	q, _ := o.reminders.Get(reminderPivot(b, key, p, replayed))
	return q
}

// remindersOf returns the reminders of an incident: the timers in order of name, then the
// replayed reminders.
func (o *organization) remindersOf(key incident.Key) (all []*queue) {
	if o.reminders == nil {
		return nil
	}
	pivot := reminderPivot(nil, key, incident.ParkedPosition{Sequence: math.MinInt64}, false)
	o.reminders.Ascend(pivot, func(q *queue) bool {
		if q.key.Identifier != key.Identifier {
			return false
		}
		all = append(all, q)
		return true
	})
	return all
}

// timersOf returns the reminders of an incident that were not replayed, in order of name.
func (o *organization) timersOf(key incident.Key) []*queue {
	all := o.remindersOf(key)
	for i, q := range all {
		if q.replayed {
			return all[:i]
		}
	}
	return all
}

// endReminders removes the reminders of an incident.
func (s *Store) endReminders(o *organization, key incident.Key) {
	for _, q := range o.remindersOf(key) {
		s.shut(o, q)
	}
}

// SetReminder implements [incident.OutboxStore].
func (s *Store) SetReminder(ctx context.Context, w incident.ReminderWrite) (ok bool, err error) {
	if err := s.acquire(ctx, write); err != nil {
		return false, err
	}
	defer s.release(write)
	o, r := s.record(w.Key)
	switch {
	case r == nil:
		return false, fmt.Errorf("memory: %w", incident.ErrNotFound)
	case r.incident.Version != w.ExpectVersion:
		return false, fmt.Errorf("memory: %w", incident.ErrVersionConflict)
	}
	others := 0
	var old *queue
	for _, q := range o.timersOf(w.Key) {
		if q.reminder.Name == w.Reminder.Name {
			old = q
		} else {
			others++
		}
	}
	if old != nil && isSame(old.reminder, &w.Reminder) {
		return true, nil
	}
	if others >= w.Most {
		return false, nil
	}
	if old != nil {
		s.shut(o, old)
	}
	s.openReminder(o, w.Key, w.Reminder)
	return true, nil
}

// isSame reports whether setting a pending reminder changes nothing.
func isSame(pending, set *incident.Reminder) bool {
	return pending.At.Equal(set.At) && pending.Unless == set.Unless && pending.Notifier == set.Notifier
}

// openReminder adds a reminder as a queue. Its time on the monotonic clock is decided here.
func (s *Store) openReminder(o *organization, key incident.Key, r incident.Reminder) {
	at := r.At.UnixMicro()
	q := newQueue(s.outbox.schedule(r.Notifier), key, span{at, at})
	q.reminder = &r
	clock := time.Now()
	now := clock.Sub(s.outbox.start)
	s.open(o, q, after(now, r.At.Sub(clock)), now)
}

// CancelReminder implements [incident.OutboxStore].
func (s *Store) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	if err := s.acquire(ctx, write); err != nil {
		return err
	}
	defer s.release(write)
	o, r := s.record(key)
	if r == nil {
		return fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	for _, q := range o.remindersOf(key) {
		if q.reminder.Name == name {
			s.shut(o, q)
		}
	}
	return nil
}

// Reminders implements [incident.OutboxStore].
func (s *Store) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, err
	}
	defer s.release(scan)
	o, r := s.record(key)
	if r == nil {
		return nil, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	timers := o.timersOf(key)
	reminders := make([]incident.Reminder, 0, len(timers))
	for _, q := range timers {
		reminders = append(reminders, *q.reminder)
	}
	return reminders, nil
}
