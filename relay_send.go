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
		end := r.places.attempt(c.Key.OrganizationID)
		err = r.attempt(c)
		end()
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
	f := failureOf(err)
	if c.Attempt >= r.options.Notify.MaxAttempts || f.isFinal {
		r.record.parked.Add(1)
		s.Outcome, s.Error = OutcomePark, f.text
		r.options.Logger.ErrorContext(ctx, "incident: a notification is given up; it is parked until it is replayed",
			"incident", c.Key.String(), "activity", c.Sequence, "notification", c.Activity.NotificationUUID, "attempts", c.Attempt, "error", s.Error)
		return s
	}
	s.Outcome, s.After = OutcomeRetry, max(r.backoff(c.Attempt), f.after, dueNow)
	r.record.failure(ctx, r.options.Logger, c, s.After, f.text)
	return s
}

// backoff asks the host how long to wait, and does without an answer.
func (r *relaying) backoff(attempt int) (d time.Duration) {
	defer func() {
		if recover() != nil {
			d = backoff(attempt)
		}
	}()
	return r.options.Notify.Backoff(attempt)
}

// failure is what the error of a notifier means.
type failure struct {
	text    string // what is kept of it
	isFinal bool
	after   time.Duration // until the next attempt, at the least
}

// failureOf looks into an error, which may be anything: also one that panics when it is
// asked.
func failureOf(err error) (f failure) {
	f.text = fmt.Sprintf("an error of type %T that cannot be read", err)
	defer func() { _ = recover() }()
	f.text = errorText(err.Error())
	f.isFinal = errors.Is(err, ErrUndeliverable)
	if later, ok := errors.AsType[*RetryAfterError](err); ok && later != nil {
		f.after = later.After
	}
	return f
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
	r.manager.observeHolder(ctx, &c.Incident) // what is read while it is being delivered is not older
	recipients, err := r.recipients(ctx, c)
	if err != nil {
		return err
	}
	return r.options.Notifier.Notify(ctx, Notification{
		Activity: c.Activity, Incident: c.Incident.listed(), Recipients: recipients, Attempt: c.Attempt, Replayed: c.Replayed,
	})
}

// recipients is the rule of who is told: those who follow, except the actor and those without
// access. The latter keep their subscriptions: an answer of the Authorizer may be wrong, and
// access may come back.
func (r *relaying) recipients(ctx context.Context, c *Claim) ([]UserID, error) {
	if c.Activity.Type != ActivityTypeComment && c.Activity.Type != ActivityTypeStatusChange {
		return []UserID{}, nil
	}
	allowed, err := r.manager.authorized(ctx, c.Key.OrganizationID, c.Incident.Projects, c.Subscribers)
	if err != nil {
		return nil, err
	}
	return listed(slices.DeleteFunc(slices.Clone(allowed), func(u UserID) bool { return u == c.Activity.UserID })), nil
}

// errorText is what is kept of a text, which may be anything.
func errorText(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), MaxParkedError)], "") // without a character that is cut
}
