package incident

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/incidentkit/incident/internal/duration"
	"github.com/incidentkit/incident/internal/relay"
)

// notifierPatience is how long the relay waits for a call of the notifier after its context has
// ended.
const notifierPatience = time.Second

// errGoexit is the error of a notifier that has ended its goroutine.
var errGoexit = errors.New("the notifier has ended its goroutine")

// attempt is an attempt to deliver the activity or the reminder of a claim.
//
// The notifier may not return in time, and may end its goroutine. With a goroutine for each call, the
// start and the end of that would cost as much as the rest of a short delivery. Therefore the goroutine
// of the delivery makes the call:
//
//   - If the notifier returns in time, the goroutine continues with the result.
//   - If the notifier ends the goroutine, the attempt settles the claim meanwhile.
//   - If the notifier is late, attempts settles the claim in another goroutine. The goroutine of the
//     delivery ends when the notifier returns.
type attempt struct {
	relay   *outboxRelay
	sending *relay.Sending
	claim   *Claim
	before  int             // activities of the claim that were delivered
	done    func(attempted) // settles the claim
	ctx     context.Context // of the notifier

	// The fields below are guarded by attempts.mu.
	isOver         bool      // the result is known
	late           time.Time // when the relay waits no longer
	previous, next *attempt  // in attempts
}

// make makes the attempt, and returns how the claim is to be settled. It is released if the attempt
// must not be begun any more: Run has ended, or the lease might end before the attempt. If make
// returns false, the attempt has settled the claim.
func (a *attempt) make() (s attempted, isOurs bool) {
	r, c, begun := a.relay, a.claim, time.Now()
	switch lost := c.Attempt - 1; {
	case a.sending.Run.Err() != nil, !a.sending.Until.IsZero() && begun.After(a.sending.Until):
		s = attempted{Settlement: Settlement{Ticket: c.Ticket, Outcome: OutcomeRelease}}
	case lost >= max(r.notify.MaxAttempts, leastLost):
		s = r.settlement(a.sending, c, fmt.Errorf("%w: none of %d attempts came to an end", ErrUndeliverable, lost))
	default:
		a.sending.Begin()
		isOurs, err := a.call(begun)
		if !isOurs {
			return attempted{}, false
		}
		a.sending.End()
		s = r.settlement(a.sending, c, err)
	}
	s.Before = a.before
	return s, true
}

// call calls the notifier, and returns its error, or false if the attempt has settled the claim
// meanwhile.
func (a *attempt) call(begun time.Time) (isOurs bool, err error) {
	ctx, cancel := context.WithTimeout(a.sending.Context, a.relay.notify.Timeout)
	a.ctx = ctx
	a.relay.attempts.begin(a, begun.Add(duration.Add(a.relay.notify.Timeout, notifierPatience)))
	hasReturned := false
	defer func() {
		if p := recover(); p != nil {
			err, hasReturned = fmt.Errorf("the notifier panicked: %v", p), true
		}
		cancel()
		isOurs = a.relay.attempts.end(a)
		if !hasReturned && isOurs { // the goroutine ends
			a.settle(errGoexit)
		}
	}()
	err = a.relay.call(ctx, a.claim, begun)
	hasReturned = true
	return false, err
}

// settle settles the claim instead of the goroutine of the delivery.
func (a *attempt) settle(err error) {
	a.sending.End()
	s := a.relay.settlement(a.sending, a.claim, err)
	s.Before = a.before
	a.done(s)
}

// attempts are the attempts of a relay in progress, in order of their beginning. A single timer finds
// those whose notifier is late: it rings for the first of them, and not for those that end in time.
type attempts struct {
	mu          sync.Mutex // guards the fields below
	first, last *attempt
	timer       *time.Timer
	isSet       bool            // the timer will ring
	sending     context.Context // the last that interrupt waits for
}

// begin adds an attempt.
func (as *attempts) begin(a *attempt, late time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if ctx := a.sending.Context; as.sending != ctx { // of the same Run each time
		as.sending = ctx
		context.AfterFunc(ctx, as.interrupt)
	}
	if a.late = late; a.ctx.Err() != nil {
		a.late = time.Now().Add(notifierPatience)
	}
	if a.previous = as.last; as.last == nil {
		as.first = a
	} else {
		as.last.next = a
	}
	as.last = a
	if !as.isSet {
		as.setTimer()
	}
}

// end ends an attempt, and reports whether it had not ended before.
func (as *attempts) end(a *attempt) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.isOver {
		return false
	}
	as.remove(a)
	return true
}

// remove removes an attempt. It must not refer to others, since a late notifier may keep it for long.
func (as *attempts) remove(a *attempt) {
	a.isOver = true
	if a.previous == nil {
		as.first = a.next
	} else {
		a.previous.next = a.next
	}
	if a.next == nil {
		as.last = a.previous
	} else {
		a.next.previous = a.previous
	}
	a.previous, a.next = nil, nil
}

// interrupt gives the notifiers a moment to return, since the context of the attempts has ended.
func (as *attempts) interrupt() {
	as.mu.Lock()
	defer as.mu.Unlock()
	late := time.Now().Add(notifierPatience)
	for a := as.first; a != nil; a = a.next {
		if late.Before(a.late) {
			a.late = late
		}
	}
	as.setTimer()
}

// setTimer sets the timer for the first attempt, if there is one.
func (as *attempts) setTimer() {
	as.isSet = as.first != nil
	switch {
	case !as.isSet:
	case as.timer == nil:
		as.timer = time.AfterFunc(time.Until(as.first.late), as.settleLate)
	default:
		as.timer.Reset(time.Until(as.first.late))
	}
}

// settleLate settles the claims of late notifiers.
func (as *attempts) settleLate() {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := time.Now()
	for a := as.first; a != nil && !now.Before(a.late); a = as.first {
		as.remove(a)
		go a.settle(fmt.Errorf("the notifier continues after its time is over: %w", a.ctx.Err()))
	}
	as.setTimer()
}
