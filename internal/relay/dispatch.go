package relay

import (
	"context"
	"sync"
	"time"
)

// dispatcher is a Relay at work, for one Run. Its fields are for the goroutine of dispatch,
// except the channels and permits.
type dispatcher[C, S any] struct {
	*Relay[C, S]

	run     context.Context // of Run
	sending context.Context // of the attempts; it outlasts Run
	sends   sync.WaitGroup
	permits *permits

	sent  chan ended[S] // to be settled
	freed chan []freed

	// The fields below decide when the next claim is made.
	state    state
	gathered int           // permits freed in the state gathering
	took     time.Duration // by the last claim
	after    Tenant        // the next claim begins behind it
	due      due           // the tenants that may have something due

	// The fields below decide when the store is asked without other reason.
	behind  bool          // something was queued, perhaps behind a claim that holds a permit
	isWoken bool          // something was queued since the last claim
	look    time.Duration // until the next look for it; 0 for none
	active  time.Time     // when this process was used last
	asks    time.Time     // when the store is asked next because of that
	alarm   alarm
}

// state tells when the dispatcher makes the next claim: see the package comment.
type state int

const (
	idle state = iota
	gathering
	prompt
)

// held is what a claim holds until it is settled.
type held struct {
	permits   int
	places    int
	unsettled int    // the places, if an attempt has begun
	wakes     uint64 // of the relay when the places were reserved
}

// ended is a claim whose attempts have ended.
type ended[S any] struct {
	held
	settlement S
}

// freed is what is free again after the settlement of a claim.
type freed struct {
	held
	tenant Tenant
	again  time.Duration // until its queue is due again; 0 if unknown
}

func newDispatcher[C, S any](r *Relay[C, S], run, sending context.Context) *dispatcher[C, S] {
	permits := newPermits(r.config.Permits, r.config.Timeout)
	most := (1 + PlacesPerPermit) * permits.total
	return &dispatcher[C, S]{
		Relay: r, run: run, sending: sending,
		permits: permits,
		sent:    make(chan ended[S], most),
		freed:   make(chan []freed, most),
		state:   prompt,
		due:     newDue(),
		alarm:   newAlarm(r.config.PollInterval, r.later),
	}
}

// dispatch claims and sends until ctx ends.
func (d *dispatcher[C, S]) dispatch(ctx context.Context) {
	var timeout <-chan time.Time // of gathering
	for ctx.Err() == nil {
		d.askSoon(time.Now())
		d.permits.want(d.state != idle)
		if d.claims() {
			timeout = nil
			d.claim(ctx)
			continue
		}
		if timeout == nil && d.state != idle && d.permits.vacant() > 0 {
			timeout = time.After(max(shortestGathering, min(d.took, longestGathering)))
		}
		select {
		case <-ctx.Done():
		case all := <-d.freed:
			for _, f := range all {
				d.release(f)
			}
		case <-d.stirred:
			d.active = time.Now()
		case <-d.woken:
			d.active = time.Now()
			d.wake()
		case <-d.later.changed:
			d.alarm.setLater()
		case <-d.alarm.timer.C:
			d.rung()
		case <-timeout:
			timeout = nil
			if d.state != idle && d.permits.vacant() > 0 {
				d.claim(ctx)
			}
		}
	}
}

// wake notes that something is due that this process has queued.
func (d *dispatcher[C, S]) wake() {
	d.wakes.Add(1) // also for a time of WakeIn
	d.isWoken, d.behind = true, d.permits.areClaimed()
	d.due.setUnknown(true)
	d.state = prompt
}

// rung notes that the alarm has rung: something may be due. While tenants have more due and
// permits are taken, it only makes sure that the claim for gathered permits is made.
func (d *dispatcher[C, S]) rung() {
	came := d.later.pass(time.Now())
	d.alarm.setNext()
	if came {
		d.wake()
		return
	}
	d.due.setUnknown(false)
	switch isShort := len(d.due.tenants) > 0 && d.taken() > 0; {
	case !isShort:
		d.state = prompt
	case d.state == idle:
		d.gatherPermits()
	}
}

// gatherPermits begins to gather freed permits.
func (d *dispatcher[C, S]) gatherPermits() { d.state, d.gathered = gathering, 1 }

// askSoon sets the alarm to ask for queues of other processes, if this process was used a
// moment ago.
func (d *dispatcher[C, S]) askSoon(now time.Time) {
	if now.Sub(d.active) < briskFor && !now.Before(d.asks) {
		d.asks = now.Add(briskInterval)
		d.alarm.setIn(briskInterval)
	}
}

// claims reports whether to claim now, without waiting for the time limit.
func (d *dispatcher[C, S]) claims() bool {
	quarter := max(d.config.Permits/4, 1)
	if d.state == idle || d.permits.vacant() < quarter {
		return false
	}
	return d.state == prompt || d.gathered >= quarter || d.taken() == 0
}

// taken returns the number of permits that are taken.
func (d *dispatcher[C, S]) taken() int { return d.permits.total - d.permits.vacant() }

// release frees what a claim held.
func (d *dispatcher[C, S]) release(f freed) {
	d.permits.free(&f)
	isBehind := d.behind
	if f.places > 0 {
		isBehind = f.wakes != d.wakes.Load()
	}
	if isBehind || f.again == Now {
		d.due.add(f.tenant)
	}
	switch {
	case d.state == gathering:
		d.gathered += f.permits
	case d.state == idle && d.due.mayBe():
		d.gatherPermits()
	}
	if f.again > Now {
		d.alarm.setIn(f.again)
	}
	d.behind = d.behind && d.permits.areClaimed()
}

// claim claims as many queues as the free permits allow, and sends the claims.
func (d *dispatcher[C, S]) claim(ctx context.Context) {
	now := time.Now()
	a := d.permits.allot(now)
	defer d.permits.answered()
	if a.limit == 0 || !d.due.isFor(&a) {
		d.state = idle
		return
	}
	q := Query{Limit: a.limit, Allowances: a.allowances, Except: a.except, After: d.after}
	d.due.begin(q.After)
	calling, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	claims, err := d.config.Claim(calling, q)
	if err != nil {
		d.state = idle
		d.due.setUnknown(false)
		d.alarm.setIn(claimPause)
		return
	}
	d.took = time.Since(now)
	if len(claims) > 0 {
		d.active = now
	}
	d.lookAgain(len(claims) > 0)
	d.note(claims, &a, &q, now)
	for i := range claims {
		d.sends.Add(1)
		go d.send(ctx, &claims[i])
	}
}

// note takes permits for claims, and updates due and permits by the answer to a query.
func (d *dispatcher[C, S]) note(claims []C, a *allotment, q *Query, now time.Time) {
	isFull := len(claims) == q.Limit
	d.after = ""
	by := map[Tenant]int{}
	for i := range claims {
		name := d.config.Tenant(&claims[i])
		d.permits.take(name, now)
		by[name]++
		if isFull {
			d.after = max(d.after, name)
		}
	}
	d.permits.served(a, by, isFull)
	d.due.end(a, by, q.After, d.after)
	switch {
	case d.due.isPrompt(d.after):
		d.state = prompt
	case d.due.mayBe():
		d.gatherPermits()
	default:
		d.state = idle
	}
}

// send delivers a claim.
func (d *dispatcher[C, S]) send(ctx context.Context, c *C) {
	sending := &Sending{Run: ctx, Context: d.sending, permits: d.permits, tenant: d.config.Tenant(c)}
	d.config.Send(sending, c, func(s S) { d.end(ended[S]{held{permits: 1}, s}) })
}

// end has a claim settled whose attempts have ended.
func (d *dispatcher[C, S]) end(e ended[S]) {
	d.sent <- e
	d.sends.Done()
}

// lookAgain sets the alarm to look again for something that was queued and not found.
func (d *dispatcher[C, S]) lookAgain(found bool) {
	switch {
	case found || d.behind: // a freed permit leads to the next claim
		d.look = 0
	case d.isWoken:
		d.look = firstLook
	default:
		d.look *= 2
	}
	d.isWoken = false
	if d.look >= min(d.config.PollInterval, exactFor) {
		d.look = 0
	}
	if d.look > 0 {
		d.alarm.setIn(d.look)
	}
}

// finish waits for the attempts in progress and for the settlement of their claims. It calls stop
// when the grace is over, and giveUp when the settlement takes too long.
func (d *dispatcher[C, S]) finish(stop, giveUp func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.permits.closePlaces()
		d.sends.Wait()
	}()
	grace := time.AfterFunc(d.config.Grace, stop)
	defer grace.Stop()
	<-done // a moment after its context has ended at the latest
	late := time.AfterFunc(callTimeout, giveUp)
	defer late.Stop()
	for d.permits.areTaken() {
		for _, f := range <-d.freed {
			d.permits.free(&f)
		}
	}
}
