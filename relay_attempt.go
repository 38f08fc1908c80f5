package incident

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	ctx     *attemptContext // of the notifier

	// The fields below are guarded by attempts.mu.
	entry     relay.Entry[*attempt] // in a line of attempts
	isOverdue bool                  // the context has ended before the notifier has returned
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
	a.relay.attempts.begin(a, begun.Add(a.relay.notify.Timeout))
	hasReturned := false
	defer func() {
		if p := recover(); p != nil {
			err, hasReturned = fmt.Errorf("the notifier panicked: %v", p), true
		}
		isOurs = a.relay.attempts.end(a)
		if !hasReturned && isOurs { // the goroutine ends
			a.settle(errGoexit)
		}
	}()
	err = a.relay.call(a, begun)
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

// attempts are the attempts of a relay in progress, and end their contexts.
type attempts struct {
	mu      sync.Mutex           // guards the fields below
	running relay.Line[*attempt] // by their deadlines
	overdue relay.Line[*attempt] // by the time when the relay waits no longer
	sending context.Context      // of the last attempt; interrupt waits for its end
	values  context.Context      // sending without its end, so that the end is no cause in package context
}

// begin adds an attempt, and makes its context.
func (as *attempts) begin(a *attempt, deadline time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if ctx := a.sending.Context; as.sending != ctx { // of the same Run each time
		as.sending, as.values = ctx, context.WithoutCancel(ctx)
		as.running.Ring, as.overdue.Ring = as.endLate, as.settleLate
		context.AfterFunc(ctx, func() { as.interrupt(ctx) })
	}
	a.ctx = &attemptContext{Context: as.values, deadline: deadline}
	a.entry.Of, a.isOverdue = a, false
	if err := a.sending.Context.Err(); err != nil {
		as.endContext(a, err)
		return
	}
	as.running.Add(&a.entry, deadline)
}

// end ends an attempt and its context, and reports whether settleLate has left it.
func (as *attempts) end(a *attempt) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.ctx.end(context.Canceled)
	if a.isOverdue {
		return as.overdue.Remove(&a.entry)
	}
	return as.running.Remove(&a.entry)
}

// endContext ends the context of an attempt, and gives the notifier a moment to return.
func (as *attempts) endContext(a *attempt, err error) {
	a.ctx.end(err)
	a.isOverdue = true
	as.overdue.Add(&a.entry, time.Now().Add(notifierPatience))
}

// interrupt ends the contexts of the attempts of a Run, since their parent has ended. The next Run may
// have begun attempts meanwhile.
func (as *attempts) interrupt(parent context.Context) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for e := range as.running.All() {
		if e.Of.sending.Context == parent {
			as.running.Remove(e)
			as.endContext(e.Of, parent.Err())
		}
	}
}

// endLate ends the contexts whose deadlines have come.
func (as *attempts) endLate() {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := time.Now()
	for e := as.running.Next(now); e != nil; e = as.running.Next(now) {
		as.endContext(e.Of, context.DeadlineExceeded)
	}
}

// settleLate settles the claims of late notifiers.
func (as *attempts) settleLate() {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := time.Now()
	for e := as.overdue.Next(now); e != nil; e = as.overdue.Next(now) {
		go e.Of.settle(fmt.Errorf("the notifier continues after its time is over: %w", e.Of.ctx.Err()))
	}
}
