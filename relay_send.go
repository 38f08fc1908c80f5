package incident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/incidentkit/incident/internal/relay"
)

// notifierPatience is how long the relay waits for a call of the notifier after its context has
// ended.
const notifierPatience = time.Second

// leastLost is how many attempts without an end it takes at least until a notification is given up:
// a claim of a process that died, or of a write of unknown outcome, may not have begun its attempt.
const leastLost = 2

// attempted is how a claim is to be settled after its attempt.
type attempted struct {
	Settlement
	hasEnded bool // the reminder has ended: the claim is settled as delivered, and nothing was sent
}

// delivery is a claim that the relay delivers.
type delivery struct {
	Claim
	later []Activity // of the same claim, after Activity
}

// released returns the settlement that releases the claim.
func (d *delivery) released() attempted {
	return attempted{Settlement: Settlement{Ticket: d.Ticket, Outcome: OutcomeRelease}}
}

// send delivers the activities of a claim one after the other, and returns how the claim is to be
// settled: as the first activity that was not delivered, or as the last. An activity that must not
// be begun any more is released.
func (r *outboxRelay) send(sending *relay.Sending, d *delivery) attempted {
	current := d.Incident
	for i := 0; ; i++ {
		if d.Incident = current; i < len(d.later) {
			d.Incident = current.Clone() // the notifier owns what it gets
		}
		s := r.sendOne(sending, &d.Claim)
		s.Before = i
		if s.Outcome != OutcomeDelivered || i == len(d.later) {
			return s
		}
		d.Activity, d.Sequence = d.later[i], d.later[i].Sequence
	}
}

// sendOne makes an attempt to deliver the activity or the reminder of a claim, and returns how it
// is to be settled. It is released if it must not be begun any more: Run has ended, or the lease
// might end before the attempt.
func (r *outboxRelay) sendOne(sending *relay.Sending, c *Claim) attempted {
	ctx, claimed := sending.Run, time.Now()
	s := attempted{Settlement: Settlement{Ticket: c.Ticket, Outcome: OutcomeDelivered}}
	if ctx.Err() != nil || !sending.Until.IsZero() && claimed.After(sending.Until) {
		s.Outcome = OutcomeRelease
		return s
	}
	var err error
	if lost := c.Attempt - 1; lost >= max(r.notify.MaxAttempts, leastLost) {
		err = fmt.Errorf("%w: none of %d attempts came to an end", ErrUndeliverable, lost)
	} else {
		end := sending.Begin()
		err = r.attempt(sending.Context, c, claimed)
		end()
	}
	switch {
	case err == nil:
		return s
	case err == errReminderEnded: // errors.Is would call code of the host
		s.hasEnded = true
		return s
	}
	if sending.Context.Err() != nil {
		s.Outcome = OutcomeRelease // the end of Run has interrupted it
		return s
	}
	f := failureOf(err)
	if c.Attempt >= r.notify.MaxAttempts || f.isFinal {
		s.Outcome, s.Error = OutcomePark, f.text
		r.logger.log(ctx, slog.LevelError, "incident: a notification is given up; it is parked until it is replayed",
			"incident", c.Key.String(), c.kind(), c.name(), "notification", c.uuid(), "attempts", c.Attempt, "error", s.Error)
		return s
	}
	s.Outcome, s.After = OutcomeRetry, max(r.backoff(c.Attempt), f.after, relay.Now)
	r.record.failure(ctx, r.logger, c, s.After, f.text)
	return s
}

// backoff returns the delay that the host has chosen, or the default if its function panics.
func (r *outboxRelay) backoff(attempt int) (d time.Duration) {
	defer func() {
		if recover() != nil {
			d = backoff(attempt)
		}
	}()
	return r.notify.Backoff(attempt)
}

// failure is the meaning of an error of the notifier.
type failure struct {
	text    string // at most MaxParkedError bytes
	isFinal bool
	after   time.Duration // until the next attempt, at least
}

// failureOf returns the meaning of an error. The error is code of the host, and may panic.
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

// errGoexit is the error of a notifier that has ended its goroutine.
var errGoexit = errors.New("the notifier has ended its goroutine")

// attempt calls the notifier in a goroutine of its own, since the notifier may not return in
// time and may end its goroutine.
func (r *outboxRelay) attempt(ctx context.Context, c *Claim, claimed time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, r.notify.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the notifier panicked: %v", p)
			}
			done <- err
		}()
		err = r.call(ctx, c, claimed)
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
		return fmt.Errorf("the notifier continues after its time is over: %w", ctx.Err())
	}
}

func (r *outboxRelay) call(ctx context.Context, c *Claim, claimed time.Time) error {
	r.manager.observeHolder(ctx, &c.Incident) // the notifier must not read an older version from the cache
	if c.Reminder != nil && c.Reminder.endedBy(&c.Incident, c.Now) {
		return errReminderEnded
	}
	n := Notification{Activity: c.Activity, Attempt: c.Attempt, Replayed: c.Replayed}
	current := &c.Incident
	var err error
	if n.Recipients, err = r.recipients(ctx, c); err != nil {
		return err
	}
	if c.Reminder != nil {
		if current, err = r.remindable(ctx, c, claimed); err != nil {
			return err
		}
		reminder := *c.Reminder
		n.Reminder = &reminder
	}
	if err := ctx.Err(); err != nil {
		return err // the Authorizer took all the time: the next attempt may have begun
	}
	n.Incident = current.listed()
	return r.notifier.Notify(ctx, n)
}

// recipients returns the users to notify, as [Notification.Recipients] has them. A user without
// access stays subscribed, since the answer of the Authorizer may be wrong, and access may come
// back.
func (r *outboxRelay) recipients(ctx context.Context, c *Claim) (users []UserID, err error) {
	if c.Activity.Type == ActivityTypeDetected || c.Activity.Type == ActivityTypeCreated {
		return []UserID{}, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the authorizer panicked: %v", p)
		}
	}()
	allowed, err := r.manager.authorized(ctx, c.Key.OrganizationID, c.Incident.Projects, c.Subscribers)
	if err != nil {
		return nil, err
	}
	return listed(slices.DeleteFunc(slices.Clone(allowed), func(u UserID) bool { return u == c.Activity.UserID })), nil
}

// errorText returns the part of a text that a store can keep: valid, without control characters
// and at most MaxParkedError bytes. A text that is cut ends with a whole word, unless that is longer
// than an identifier: EraseUser does not find a part of a user's ID.
func errorText(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, text)
	if len(text) <= MaxParkedError {
		return text
	}
	kept := text[:MaxParkedError+1]
	if end := strings.LastIndexAny(kept, " \n\t"); end >= len(kept)-1-MaxIDSize {
		return text[:end]
	}
	return strings.ToValidUTF8(text[:MaxParkedError], "") // a character may be cut
}
