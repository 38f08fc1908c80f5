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

// send delivers the activities of a claim one after the other, and reports to done how the claim is
// to be settled: as the first activity that was not delivered, or as the last. An activity that must
// not be begun any more is released.
func (r *outboxRelay) send(sending *relay.Sending, d *delivery, done func(attempted)) {
	current := d.Incident
	a := &attempt{relay: r, sending: sending, claim: &d.Claim, done: done}
	for i := 0; ; i++ {
		if d.Incident = current; i < len(d.later) {
			d.Incident = current.Clone() // the notifier owns what it gets
		}
		a.before = i
		s, isOurs := a.make()
		switch {
		case !isOurs:
			return
		case s.Outcome != OutcomeDelivered || i == len(d.later):
			done(s)
			return
		}
		d.Activity, d.Sequence = d.later[i], d.later[i].Sequence
	}
}

// settlement returns how a claim is to be settled after an attempt with an error, or without.
func (r *outboxRelay) settlement(sending *relay.Sending, c *Claim, err error) attempted {
	s := attempted{Settlement: Settlement{Ticket: c.Ticket, Outcome: OutcomeDelivered}}
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
	ctx, f := sending.Run, failureOf(err)
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

// call calls the notifier for an attempt, unless there is nothing to tell.
func (r *outboxRelay) call(a *attempt, claimed time.Time) error {
	ctx, c := a.ctx, a.claim
	if a.before == 0 {
		r.manager.observeHolder(ctx, &c.Incident) // the notifier must not read an older version from the cache
	}
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
