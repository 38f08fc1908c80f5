package incident

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// leaseMargin is how long after the time limit of an attempt nobody else makes one:
	// time for the notifier to return, and for the claim to be settled.
	leaseMargin = 5 * time.Second

	// outboxTimeout bounds a call of the store.
	outboxTimeout = 5 * time.Second

	// outboxPause is how long the store is left alone after a claim has failed.
	outboxPause = 250 * time.Millisecond

	// gathering is how long freed places are gathered before the next claim, while more is
	// due than there are places. After a claim that took longer, it is as long as that claim
	// took, up to longestGathering.
	gathering        = 2 * time.Millisecond
	longestGathering = 40 * time.Millisecond

	// briskInterval is how often the store is asked for what others have queued for
	// briskFor after something was delivered, written or read.
	briskInterval = 40 * time.Millisecond
	briskFor      = 2 * time.Second

	// firstLook is when the relay looks again for what was queued, if it was not to be had
	// because another process was delivering for the same incident. Until it is found,
	// each time after that is twice as long.
	firstLook = 20 * time.Millisecond
)

// relay delivers what is queued. It claims what is due, has the notifier called for each
// claim side by side, and settles the claims: it sends, and then marks. A place is taken
// from the claim until it is settled, so that a crash repeats no more than there are places.
type relay struct {
	outbox  OutboxStore
	options *Options
	woken   chan struct{} // holds a token when something was queued
	stirred chan struct{} // holds a token when this process has read
	record  relayRecord

	warned atomic.Bool // that nothing is delivered
}

func newRelay(outbox OutboxStore, options *Options) *relay {
	return &relay{outbox: outbox, options: options, woken: make(chan struct{}, 1), stirred: make(chan struct{}, 1)}
}

// wake has the relay look for what is due.
func (r *relay) wake() {
	select {
	case r.woken <- struct{}{}:
	default: // it will
	}
}

// stir tells the relay that this process is in use: others may be too.
func (r *relay) stir() {
	select {
	case r.stirred <- struct{}{}:
	default: // it knows
	}
}

// relaying is a relay at work, for as long as one Run lasts. Its fields are for the
// goroutine of dispatch, but for those that are channels.
type relaying struct {
	*relay
	manager *manager

	// sending is the context of what is being sent, which outlasts that of Run.
	sending context.Context
	sends   sync.WaitGroup

	places *places

	settling chan Settlement // sent, and not marked yet
	settled  chan released

	after OrganizationID // where the next claim goes on
	more  bool           // there may be something due
	freed int            // places since the last claim, if that is all that is new
	took  time.Duration  // by the last claim
	due   due            // the organizations that may have something due

	behind bool          // something was queued, perhaps behind what has a place
	told   bool          // something was queued since the last claim
	look   time.Duration // until the next look for that; 0 for none
	active time.Time     // when this process was last in use
	asks   time.Time     // when it asks next because of that
	alarm  alarm         // for what others have queued, and for what is to be tried again
}

// released is a place that is free again.
type released struct {
	organization OrganizationID

	// again is when its queue is due again, and 0 if that is not known.
	again time.Duration
}

// deliver delivers what is queued until ctx ends.
func (m *manager) deliver(ctx context.Context) {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	n := m.options.Notify.Concurrency
	r := &relaying{
		relay: m.relay, manager: m, sending: sending,
		places:   newPlaces(n, m.options.Notify.Timeout),
		settling: make(chan Settlement, n),
		settled:  make(chan released, n),
		more:     true,
		due:      newDue(),
		alarm:    newAlarm(m.options.Notify.PollInterval),
	}
	defer r.alarm.timer.Stop()
	var all sync.WaitGroup
	settles, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	all.Go(func() { r.settle(settles) })
	all.Go(func() { r.watchBacklog(ctx) })
	r.dispatch(ctx)
	r.finish(stop, giveUp)
	close(r.settling)
	all.Wait()
}

// dispatch claims what is due and sends it, until ctx ends.
func (r *relaying) dispatch(ctx context.Context) {
	var gathered <-chan time.Time
	for ctx.Err() == nil {
		r.askSoon(time.Now())
		if r.claims() {
			gathered = nil
			r.claim(ctx)
			continue
		}
		if gathered == nil && r.more && r.places.vacant() > 0 {
			gathered = time.After(max(gathering, min(r.took, longestGathering)))
		}
		select {
		case <-ctx.Done():
		case s := <-r.settled:
			r.release(s)
		case <-r.stirred:
			r.active = time.Now()
		case <-r.woken:
			r.active = time.Now()
			r.more, r.freed, r.told = true, 0, true
			r.due.setUnknown()
			r.behind = r.taken() > 0
		case <-r.alarm.timer.C:
			r.alarm.setNext()
			r.due.setUnknown()
			if isBusy := len(r.due.organizations) > 0 && r.taken() > 0; !isBusy {
				r.more, r.freed = true, 0
			} else if !r.more {
				r.more, r.freed = true, 1 // the claim for gathered places asks, too
			}
		case <-gathered:
			gathered = nil
			if r.more && r.places.vacant() > 0 {
				r.claim(ctx)
			}
		}
	}
}

// askSoon sets the alarm to ask for what others have queued, while this process is in use.
func (r *relaying) askSoon(now time.Time) {
	if now.Sub(r.active) < briskFor && !now.Before(r.asks) {
		r.asks = now.Add(briskInterval)
		r.alarm.setIn(briskInterval)
	}
}

// claims reports whether it is time for a claim: there may be something due, and a quarter
// of the places is free for it. What is due because places were freed waits for a quarter
// of them, unless no other is taken.
func (r *relaying) claims() bool {
	quarter := max(r.options.Notify.Concurrency/4, 1)
	return r.more && r.places.vacant() >= quarter && (r.freed == 0 || r.freed >= quarter || r.taken() == 0)
}

// taken is how many places are taken.
func (r *relaying) taken() int { return r.places.total - r.places.vacant() }

// release frees a place.
func (r *relaying) release(s released) {
	r.places.free(s.organization)
	if r.behind || s.again == dueNow {
		r.due.add(s.organization)
	}
	if r.due.mayBe() {
		if !r.more || r.freed > 0 {
			r.freed++
		}
		r.more = true
	}
	if s.again > dueNow {
		r.alarm.setIn(s.again)
	}
	r.behind = r.behind && r.taken() > 0
}

// dueNow is the delay of what is due at once.
const dueNow = time.Nanosecond

// claim claims what is due for the free places, and sends it.
func (r *relaying) claim(ctx context.Context) {
	now := time.Now()
	a := r.places.allot(now)
	if a.limit == 0 || !r.due.isFor(&a) {
		r.more, r.freed = false, 0 // until a place is free or something else is queued
		return
	}
	q := ClaimQuery{
		Limit: a.limit, PerOrganization: 1, Allowances: a.allowances, Except: a.except,
		After: r.after, Lease: duration.Add(r.options.Notify.Timeout, leaseMargin),
	}
	r.due.begin(q.After)
	calling, cancel := context.WithTimeout(context.WithoutCancel(ctx), outboxTimeout)
	defer cancel()
	claims, err := guarded(func() ([]Claim, error) { return r.outbox.Claim(calling, q) })
	r.record.store(ctx, r.options.Logger, err)
	if err != nil {
		r.more = false
		r.due.setUnknown()
		r.alarm.setIn(outboxPause)
		return
	}
	r.took = time.Since(now)
	if len(claims) > 0 {
		r.active = now
	}
	r.lookAgain(len(claims) > 0)
	isFull := len(claims) == q.Limit
	r.after = ""
	by := map[OrganizationID]int{}
	for _, c := range claims {
		org := c.Key.OrganizationID
		r.places.take(org, now)
		by[org]++
		if isFull {
			r.after = max(r.after, org)
		}
	}
	r.places.served(&a, by, isFull)
	r.due.end(&a, by, q.After, r.after)
	r.more, r.freed = r.due.mayBe(), 0
	for _, c := range claims {
		r.sends.Go(func() {
			s := r.send(ctx, &c)
			r.settling <- s
		})
	}
}

// lookAgain sets the alarm to look again for what was queued and not found.
func (r *relaying) lookAgain(found bool) {
	switch {
	case found || r.behind: // which brings the next claim itself
		r.look = 0
	case r.told:
		r.look = firstLook
	default:
		r.look *= 2
	}
	r.told = false
	if r.look >= min(r.options.Notify.PollInterval, exactFor) {
		r.look = 0
	}
	if r.look > 0 {
		r.alarm.setIn(r.look)
	}
}

// finish waits for what is being sent, until the grace is over, and for its claims to be
// settled.
func (r *relaying) finish(stop, giveUp func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.sends.Wait()
	}()
	grace := time.AfterFunc(r.options.Notify.Grace, stop)
	defer grace.Stop()
	<-done // at the latest a moment after its context has ended
	late := time.AfterFunc(outboxTimeout, giveUp)
	defer late.Stop()
	for r.taken() > 0 {
		r.places.free((<-r.settled).organization)
	}
}
