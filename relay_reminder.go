package incident

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// isEnded reports whether the state of its incident has ended a reminder, and puts that state
// into the claim. It reads the state again, because the incident may have been acknowledged or
// closed since the claim: the Authorizer was called meanwhile.
func (r *outboxRelay) isEnded(ctx context.Context, c *Claim) (bool, error) {
	read := time.Now()
	if c.Reminder.endedBy(&c.Incident, c.Now) {
		return true, nil
	}
	s, err := guarded(func() (State, error) { return r.outbox.Load(ctx, c.Key) })
	if err != nil {
		return false, err
	}
	c.Incident = s.Incident
	return c.Reminder.endedBy(&c.Incident, c.Now.Add(time.Since(read))), nil
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
