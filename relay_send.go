package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// notifierPatience is how long a call of the notifier is waited for after its context
// has ended.
const notifierPatience = time.Second

// send makes an attempt to deliver a claim, and says how the claim ends. ctx is that of
// Run: what it claimed and cannot begin with any more is given back.
func (r *relaying) send(ctx context.Context, c *Claim) Settlement {
	s := Settlement{Ticket: c.Ticket, Outcome: OutcomeDelivered}
	if ctx.Err() != nil {
		s.Outcome = OutcomeRelease
		return s
	}
	var err error
	if most := r.options.Notify.MaxAttempts; c.Attempt > most {
		err = fmt.Errorf("%w: none of %d attempts came to an end", ErrUndeliverable, most)
	} else {
		err = r.attempt(c)
	}
	if err == nil {
		r.record.delivered.Add(1)
		return s
	}
	if r.sending.Err() != nil {
		s.Outcome = OutcomeRelease // it was interrupted
		return s
	}
	r.record.failed.Add(1)
	if c.Attempt >= r.options.Notify.MaxAttempts || errors.Is(err, ErrUndeliverable) {
		r.record.parked.Add(1)
		s.Outcome, s.Error = OutcomePark, errorText(err)
		r.options.Logger.ErrorContext(ctx, "incident: a notification is given up; it is parked until it is replayed",
			"incident", c.Key.String(), "activity", c.Sequence, "notification", c.Activity.NotificationUUID, "attempts", c.Attempt, "error", s.Error)
		return s
	}
	s.Outcome, s.After = OutcomeRetry, max(r.options.Notify.Backoff(c.Attempt), dueNow)
	if later, ok := errors.AsType[*RetryAfterError](err); ok {
		s.After = max(s.After, later.After)
	}
	r.record.failure(ctx, r.options.Logger, c, s.After, err)
	return s
}

// attempt calls the notifier. It runs in a goroutine of its own, because it may not return
// in time, and may do what ends a goroutine.
func (r *relaying) attempt(c *Claim) error {
	ctx, cancel := context.WithTimeout(r.sending, r.options.Notify.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errors.New("the notifier has ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the notifier panicked: %v", p)
			}
			done <- err
		}()
		err = r.notify(ctx, c)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(notifierPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("the notifier goes on after its time is over: %w", ctx.Err())
	}
}

func (r *relaying) notify(ctx context.Context, c *Claim) error {
	recipients, err := r.recipients(ctx, c)
	if err != nil {
		return err
	}
	return r.options.Notifier.Notify(ctx, Notification{
		Activity: c.Activity, Incident: c.Incident.listed(), Recipients: recipients, Attempt: c.Attempt, Replayed: c.Replayed,
	})
}

// recipients is the rule of who is told: those who follow, but for the actor and for those
// without access, who follow no more.
func (r *relaying) recipients(ctx context.Context, c *Claim) ([]UserID, error) {
	if c.Activity.Type != ActivityTypeComment && c.Activity.Type != ActivityTypeStatusChange {
		return []UserID{}, nil
	}
	allowed, err := r.manager.authorized(ctx, c.Key.OrganizationID, c.Incident.Projects, c.Subscribers)
	if err != nil {
		return nil, err
	}
	for _, user := range without(c.Subscribers, allowed) {
		if err := r.outbox.Unsubscribe(ctx, c.Key, user); err != nil {
			return nil, fmt.Errorf("unsubscribe one without access: %w", err)
		}
	}
	return listed(slices.DeleteFunc(slices.Clone(allowed), func(u UserID) bool { return u == c.Activity.UserID })), nil
}

// errorText is what is kept of the error of a notifier, which may be anything.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T that has no text", err)
		}
	}()
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, err.Error())
	for len(text) > MaxParkedError {
		_, size := utf8.DecodeLastRuneInString(text[:MaxParkedError+1])
		text = text[:MaxParkedError+1-size]
	}
	return text
}
