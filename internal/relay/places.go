package relay

import (
	"runtime"
	"slices"
	"time"
)

// A queue that this process writes need not be claimed: the write can claim it, too. The claim
// then costs no statement, and all that the write has queued is settled once.
//
//  1. Before the write, Reserve gives the queue a place, unless there are too many or the queue
//     would probably wait for long.
//  2. After the commit, Deliver waits for a permit, and delivers.
//  3. The permit is free again. The place is free when the claim is settled, together with others.
//
// A crash repeats what was sent and is not settled. Therefore a queue gets no permit while too many
// such queues wait for their settlement. Queues that are being written do not count: they are bounded
// by the places.
//
// A queue that does not get a permit in time is released. If the process dies, or the outcome of
// the write is unknown, the lease of the claim ends.
//
// The rules of allot hold for permits and places. While the dispatcher wants to claim, half of the
// permits are left to it. A relay with a single permit has no places: a crash repeats a single
// delivery.

const (
	// PlacesPerPermit is the number of places for each permit. A place is for a notification: a
	// queue takes as many as it has.
	PlacesPerPermit = 2 * UnsettledPerPermit

	// UnsettledPerPermit is the number of notifications for each permit that have begun, and are
	// not settled.
	UnsettledPerPermit = 8

	// StartWithin bounds the time from Reserve to the beginning of the last attempt.
	StartWithin = 500 * time.Millisecond

	// longestWait is the longest expected wait for a permit with which Reserve gives a place.
	longestWait = 50 * time.Millisecond

	// writeGrace is how long Run waits for writes in progress when it ends.
	writeGrace = time.Second

	// scanned bounds the waiting queues that are looked at when a permit is free.
	scanned = 64
)

// Place is the right to deliver a queue that is about to be written.
type Place[C, S any] struct {
	d       *dispatcher[C, S]
	until   time.Time // the last attempt must begin before
	wakes   uint64    // of the relay when the place was reserved
	isEnded bool      // Deliver or Cancel was called

	// The fields below are of the delivery: a place is a single allocation.
	waiter
	claim   C
	sending Sending
	begun   time.Time // zero without a permit
}

// Reserve reserves places for a queue with n notifications of a tenant. It returns nil if Run does
// not run, or if the queue should be claimed in the usual way. The caller must call Deliver or
// Cancel after the write.
func (r *Relay[C, S]) Reserve(name Tenant, n int) *Place[C, S] {
	d := r.running.Load()
	if d == nil {
		return nil
	}
	now := time.Now()
	s := d.permits.reserve(name, n, now)
	if s == nil {
		return nil
	}
	return &Place[C, S]{d: d, waiter: waiter{seat: s, n: n}, until: now.Add(StartWithin), wakes: r.wakes.Load()}
}

// Cancel gives the place back. It has no effect after Deliver.
func (p *Place[C, S]) Cancel() {
	if !p.isEnded {
		p.isEnded = true
		p.d.permits.cancel(p.seat, p.n)
	}
}

// Deliver delivers the claim in the background. If Run has ended meanwhile, Deliver does nothing.
func (p *Place[C, S]) Deliver(c C) {
	p.isEnded, p.claim = true, c
	if p.d.permits.written(p.n, func() { p.d.sends.Add(1) }) {
		go p.deliver()
	}
}

// deliver delivers the claim.
func (p *Place[C, S]) deliver() {
	d := p.d
	// The callers that were woken with this one run first, because the next batch of writes waits for them.
	runtime.Gosched()
	if !d.permits.enter(&p.waiter) && !d.permits.await(&p.waiter, p.until) {
		p.end(d.config.Release(&p.claim))
		return
	}
	p.begun = time.Now()
	p.sending = Sending{Run: d.run, Context: d.sending, Until: p.until, permits: d.permits, tenant: p.seat.name}
	d.config.Send(&p.sending, &p.claim, p.end)
}

// end has the claim settled.
func (p *Place[C, S]) end(s S) {
	h := held{places: p.n, wakes: p.wakes}
	if !p.begun.IsZero() {
		h.unsettled = p.n
		p.d.permits.exit(p.seat, time.Since(p.begun))
	}
	p.d.end(ended[S]{h, s})
}

// waiter is a queue that waits for a permit.
type waiter struct {
	seat *seat
	n    int           // places that it has
	isIn bool          // has a permit; to be read after the wait
	done chan struct{} // closed when the wait has ended; nil if it ends at once

	hasEnded bool // the wait; guarded by permits.mu
}

// await waits for a permit until a time, and reports whether the queue has one.
func (p *permits) await(w *waiter, until time.Time) bool {
	if w.done == nil {
		return false
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		p.leave(w)
	}
	return w.isIn
}

// reserve takes n places, and returns the seat of the tenant, or nil if it is refused.
func (p *permits) reserve(name Tenant, n int, now time.Time) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, most := p.tenants[name], PlacesPerPermit*p.total
	if n > UnsettledPerPermit*p.total {
		return nil
	}
	if s != nil && s.places > 0 {
		most -= most / 4 // the rest is for tenants that have none
		if !s.answered && len(p.tenants) > 1 {
			most = 0
		}
	}
	switch {
	case p.isClosed, p.total == 1, p.places+n > most:
		return nil
	case s != nil && s.strikes+s.stuck > 0:
		return nil
	case p.usual*time.Duration(p.ahead+1-p.total+p.taken+p.claiming) > longestWait*time.Duration(p.total):
		p.usual -= p.usual / 64 // or nothing would correct it
		return nil
	}
	if s == nil {
		s = p.seatOf(name)
	}
	p.places += n
	s.places += n
	p.writing += n
	p.ahead++
	p.touch(s, now)
	return s
}

// cancel gives back the places of a queue that was not written.
func (p *permits) cancel(s *seat, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isLate {
		return
	}
	p.ahead--
	p.leavePlaces(s, n)
	p.endWrite(n)
}

// written notes that a queue was written, and calls begin unless Run no longer waits for it.
func (p *permits) written(n int, begin func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isLate {
		return false
	}
	begin()
	p.endWrite(n)
	return true
}

func (p *permits) endWrite(n int) {
	p.writing -= n
	if p.isClosed && p.writing == 0 {
		close(p.allWritten)
	}
}

// closePlaces ends the reservations, and waits for the writes in progress.
func (p *permits) closePlaces() {
	p.mu.Lock()
	p.isClosed = true
	if p.writing == 0 {
		close(p.allWritten)
	}
	p.mu.Unlock()
	timer := time.NewTimer(writeGrace)
	defer timer.Stop()
	select {
	case <-p.allWritten:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isLate = true
	p.places -= p.writing // they have leases that end
}

// enter reports whether a queue gets a permit at once. Otherwise await must be called.
func (p *permits) enter(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, w)
	p.admit()
	if !w.hasEnded {
		w.done = make(chan struct{})
	}
	return w.isIn
}

// leave ends the wait of a queue.
func (p *permits) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.ahead--
		p.noteUsual(StartWithin)
	}
}

// admit gives permits to the queues that wait, and ends the wait of those whose tenant is slow.
func (p *permits) admit() {
	looked := 0
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		looked++
		isSlow := w.seat.strikes+w.seat.stuck > 0
		if looked > scanned || !isSlow && !p.fits(w) {
			return false
		}
		if !isSlow {
			w.isIn = true
			p.hold(w.seat, 1)
			p.direct++
			p.unsettled += w.n
			p.touch(w.seat, time.Now())
		}
		p.ahead--
		w.hasEnded = true
		if w.done != nil {
			close(w.done)
		}
		return true
	})
}

// fits reports whether the rules of allot let a queue take a permit.
func (p *permits) fits(w *waiter) bool {
	s := w.seat
	isAlone := len(p.tenants) <= 1
	free := p.total - p.taken - p.claiming
	if s.held > 0 {
		free -= p.total / 4
		if !isAlone && p.total < 4 {
			free--
		}
	}
	switch {
	case free <= 0, p.isWanted && p.direct >= p.total/2, p.unsettled+w.n > UnsettledPerPermit*p.total:
		return false
	}
	if s.answered || isAlone {
		return true
	}
	return s.held == 0 && p.claiming == 0 // the claim may give it a permit, too
}

// exit gives back the permit of a queue whose attempts have taken a time.
func (p *permits) exit(s *seat, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold(s, -1)
	p.direct--
	p.noteUsual(took)
	p.admit()
}

func (p *permits) noteUsual(d time.Duration) { p.usual += (d - p.usual) / 8 }

// settled gives back the places of queues.
func (p *permits) settled(all []freed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range all {
		if f := &all[i]; f.places > 0 {
			p.leavePlaces(p.tenants[f.tenant], f.places)
			p.unsettled -= f.unsettled
		}
	}
	p.admit()
}

// expects reports whether a settlement of n places should wait for others: queues have more places,
// and many more may begin before the settlement.
func (p *permits) expects(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places > n && p.unsettled < UnsettledPerPermit*p.total/2
}

func (p *permits) leavePlaces(s *seat, n int) {
	p.places -= n
	s.places -= n
}
