// Package relay delivers the queues of an outbox, with a limited number of attempts in
// progress.
//
// The obvious way is a number of workers that each claim a queue, send, settle and repeat. It
// fails in three ways:
//
//   - Each notification costs two statements of its own.
//   - All workers end up waiting for a tenant with a receiver that hangs.
//   - Idle workers ask the store too often, or deliver late.
//
// Here a dispatcher claims many queues at a time, and a settler settles all claims that were
// sent meanwhile:
//
//  1. A claim gets as many queues as the free permits allow. Each takes a permit.
//  2. Each claim is sent in a goroutine of its own.
//  3. The settler settles it together with all others that were sent by then, and frees the
//     permit.
//  4. The dispatcher claims again.
//
// A permit is held until its claim is settled, so that a crash repeats at most as many
// deliveries as there are permits. Queues that this process writes may go without steps 1 and 4:
// see Place. Permits are divided among the tenants, so that none holds
// up the others: see allot. A claim that is never settled is made again by any relay when its
// lease expires.
//
// The dispatcher makes one claim at a time. Its state tells when it makes the next:
//
//	state      the next claim is made
//	idle       never: nothing may be due, or no tenant that may have something gets a permit
//	gathering  when a quarter of the permits was freed or none is taken; after a short time
//	prompt     when a quarter of the permits is free; after a short time
//
// An event sets the state, and updates due, the record of the tenants that may have something:
//
//	event             state                                due
//	Run begins        prompt                               every tenant may have something
//	Wake, a time of   prompt                               the same, and the next lap is urgent
//	WakeIn has come
//	the alarm rings   prompt, unless tenants wait for      the same
//	                  permits: gathering instead of idle
//	a permit is       gathering instead of idle, if        the tenant may have something, if its
//	freed             something may be due                 queue is due again or behind is set
//	a claim has no    idle
//	tenant
//	a claim is        prompt, if it belongs to a lap;      the tenants that it has read
//	answered          gathering, if something may be due;
//	                  idle otherwise
//	a claim fails     idle                                 every tenant may have something
//
// The other fields of the dispatcher:
//
//	field    set by                                   cleared by
//	behind   Wake, a time of WakeIn, while a permit   the last permit that is freed
//	         is taken
//	isWoken  Wake, a time of WakeIn                   an answered claim
//	look     an answered claim that found nothing     a claim that finds something; it also ends
//	         after Wake; each further one doubles it  at the poll interval
//	active   Wake, Stir, a claim that found           set to the present time
//	         something
//	asks     each time that the alarm is set because  set to a time ahead
//	         active is recent
//
// The alarm rings at each poll interval, and earlier in these cases:
//
//   - A queue is due again at a known time.
//   - The store failed to answer a claim.
//   - The process was in use a moment ago, so that other processes may have queued something.
//   - A Wake led to no claim, because another process was delivering for the same queue.
//   - A time of WakeIn has come. If the clock of the store is late, the looks after a Wake find
//     the queue.
package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Now is the delay of a queue that is due at once.
const Now = time.Nanosecond

const (
	// callTimeout bounds a call of Claim or Settle.
	callTimeout = 5 * time.Second

	// claimPause is how long Claim is not called after it has failed.
	claimPause = 250 * time.Millisecond

	// Freed permits are gathered for as long as the last claim took, within these limits,
	// while more is due than permits are free.
	shortestGathering = 2 * time.Millisecond
	longestGathering  = 40 * time.Millisecond

	// briskInterval is how often the store is asked for queues of other processes for
	// briskFor after this process has delivered, written or read.
	briskInterval = 40 * time.Millisecond
	briskFor      = 2 * time.Second

	// firstLook is the delay before the relay looks again for something that was queued and
	// not found, because another process was delivering for the same queue. Each further
	// look waits twice as long.
	firstLook = 20 * time.Millisecond
)

// Config has the functions and settings of a Relay. C is a claim and S the settlement of it.
// No function may panic.
type Config[C, S any] struct {
	Permits      int           // attempts in progress, at most
	Timeout      time.Duration // of an attempt
	PollInterval time.Duration
	Grace        time.Duration // for attempts in progress when Run ends

	// Claim claims queues that are due.
	Claim func(context.Context, Query) ([]C, error)

	// Tenant returns the tenant of a claim.
	Tenant func(*C) Tenant

	// Send delivers a claim, and calls done once with how it is to be settled. It may return, or end
	// its goroutine, before or after another goroutine calls done.
	Send func(s *Sending, c *C, done func(S))

	// Release returns the settlement that releases a claim of [Place.Deliver].
	Release func(*C) S

	// Settle settles claims, and returns the indexes of those that it could not settle
	// because their queues were locked.
	Settle func(context.Context, []S) (busy []int, err error)

	// Freed returns the tenant of a settled claim, and the delay until its queue is due
	// again: 0 if that is not known.
	Freed func(*S) (Tenant, time.Duration)
}

// Query is a request for queues that are due.
type Query struct {
	Limit int // at least 1

	// Allowances are the numbers of the tenants that may get several. A tenant that it does
	// not have may get a single queue. Except are the tenants that get none.
	Allowances map[Tenant]int
	Except     []Tenant

	// After is the last tenant that the claim skips; empty to begin with the first tenant.
	After Tenant
}

// Relay delivers the queues of an outbox while Run runs. Its methods are safe for use by many
// goroutines.
type Relay[C, S any] struct {
	config  Config[C, S]
	woken   chan struct{} // holds a token after something was queued
	stirred chan struct{} // holds a token after this process was used
	later   *later        // the times of WakeIn
	wakes   atomic.Uint64 // counts the calls of Wake
	running atomic.Pointer[dispatcher[C, S]]
}

// New returns a Relay.
func New[C, S any](config Config[C, S]) *Relay[C, S] {
	return &Relay[C, S]{config: config, woken: make(chan struct{}, 1), stirred: make(chan struct{}, 1), later: newLater()}
}

// Wake notes that something was queued.
func (r *Relay[C, S]) Wake() {
	r.wakes.Add(1)
	signal(r.woken)
}

// WakeIn notes that something was queued that is due in d. Times of WakeIn are also observed if
// Run begins after the call.
func (r *Relay[C, S]) WakeIn(d time.Duration) { r.later.add(time.Now().Add(d)) }

// Stir notes that this process is in use, so that others may be, too.
func (r *Relay[C, S]) Stir() { signal(r.stirred) }

// signal puts a token into a channel, unless the channel has a token.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Sending is the right to send a claim.
type Sending struct {
	// Run is the context of [Relay.Run]. When it ends, a claim that was not begun should be
	// released.
	Run context.Context

	// Context is the context of the attempt. It outlasts Run by [Config.Grace] at most.
	Context context.Context

	// Until is when the last attempt of a claim with several notifications must begin; a
	// notification that was not begun should be released. Zero for a single notification.
	Until time.Time

	permits *permits
	tenant  Tenant
	trial   trial // in progress
}

// Begin begins an attempt. The caller must call End when the attempt has ended, before the next.
func (s *Sending) Begin() { s.permits.begin(&s.trial, s.tenant) }

// End ends the attempt.
func (s *Sending) End() { s.permits.end(&s.trial) }

// Run delivers until ctx ends, and then finishes the attempts in progress. It must not run
// twice at a time.
func (r *Relay[C, S]) Run(ctx context.Context) {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d := newDispatcher(r, ctx, sending)
	r.running.Store(d)
	defer r.running.Store(nil)
	defer d.alarm.timer.Stop()
	var settler sync.WaitGroup
	settles, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	settler.Go(func() { d.settle(settles) })
	d.dispatch(ctx)
	d.finish(stop, giveUp)
	close(d.sent)
	settler.Wait()
}
