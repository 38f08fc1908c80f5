package incident

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// errReminderEnded is the outcome of an attempt for a reminder that must not be delivered. Its
// claim is settled as delivered.
var errReminderEnded = errors.New("the reminder has ended")

// remindable returns the incident of a reminder that is about to be delivered, or
// errReminderEnded if the reminder has ended. It reads both again, because time has passed since
// the claim, and the Authorizer may have taken long:
//
//   - The incident may have been acknowledged or closed.
//   - The reminder may have been moved or cancelled, or ended by a close before a reopening.
//
// The list of pending reminders leaves out replayed reminders. Of these, only the incident is read.
func (r *outboxRelay) remindable(ctx context.Context, c *Claim, claimed time.Time) (*Incident, error) {
	s, err := guarded(func() (State, error) { return r.outbox.Load(ctx, c.Key) })
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, errReminderEnded
	case err != nil:
		return nil, err
	case c.Reminder.endedBy(&s.Incident, c.Now.Add(time.Since(claimed))):
		return nil, errReminderEnded
	}
	r.manager.observeHolder(ctx, &s.Incident)
	if c.Replayed {
		return &s.Incident, nil
	}
	pending, err := guarded(func() ([]Reminder, error) { return r.outbox.Reminders(ctx, c.Key) })
	isSame := func(p Reminder) bool { return p.NotificationUUID == c.Reminder.NotificationUUID }
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !slices.ContainsFunc(pending, isSame):
		return nil, errReminderEnded
	case err != nil:
		return nil, err
	}
	return &s.Incident, nil
}

// kind and name describe the notification of a claim in a log.
func (c *Claim) kind() string {
	if c.Reminder != nil {
		return "reminder"
	}
	return "activity"
}

func (c *Claim) name() any {
	if c.Reminder != nil {
		return c.Reminder.Name
	}
	return c.Sequence
}

// uuid returns the UUID of the notification of a claim.
func (c *Claim) uuid() uuid.UUID {
	if c.Reminder != nil {
		return c.Reminder.NotificationUUID
	}
	return c.Activity.NotificationUUID
}
