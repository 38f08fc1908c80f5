package relay

import (
	"container/list"
	"sync"
	"time"
)

const (
	// slowest is how long an attempt may take before it counts as slow, unless half of the
	// timeout is less.
	slowest = 5 * time.Second

	// remembered is how many tenants with a slow last attempt are known, and how many others.
	// A tenant is forgotten rememberedFor after its last attempt at the latest.
	remembered    = 512
	rememberedFor = time.Hour

	// After the second slow attempt in a row, a relay with a single permit rests: it makes
	// no attempt for tenants that were slow for as long as the attempt took. Each further
	// slow attempt doubles that, up to restDoublings times and longestRest.
	restDoublings = 3
	longestRest   = 5 * time.Minute
)

// permits records the holders of the permits of a relay, and the tenants with slow attempts. It
// is safe for use by many goroutines.
type permits struct {
	total int
	slow  time.Duration // the shortest slow attempt

	mu      sync.Mutex // guards the fields below
	taken   int        // by all queues
	direct  int        // by queues with places
	tenants map[Tenant]*seat
	hanging *list.List // of *seat, with strikes or stuck attempts; the next in turn is first
	others  *list.List // of *seat; the least recently used is first
	rest    time.Time  // until then hanging tenants get no attempt
	trials  Line[*trial]

	// The fields below are for the queues with places: see Place.
	places     int           // that are taken
	unsettled  int           // those whose attempts have begun
	writing    int           // places of queues that are being written
	ahead      int           // queues that have no permit yet
	waiting    []*waiter     // in order of arrival
	claiming   int           // the permits that the claim in progress may take
	isWanted   bool          // the dispatcher wants to claim
	usual      time.Duration // how long a queue has a permit
	isClosed   bool          // Run has ended: no more places
	isLate     bool          // the writes in progress are not waited for any more
	allWritten chan struct{} // closed when isClosed is set and no write is in progress
}

// seat is a tenant with the fields that only permits needs.
type seat struct {
	tenant
	stuck  int       // attempts that are slow and have not ended
	places int       // of its queues
	last   time.Time // when it took a permit, or an attempt became slow or ended

	in *list.List
	at *list.Element // of in
}

// trial is an attempt with a permit. It is in the line of trials until it is slow.
type trial struct {
	begun time.Time
	seat  *seat
	entry Entry[*trial]
}

func newPermits(total int, timeout time.Duration) *permits {
	p := &permits{
		total: total, slow: min(timeout/2, slowest),
		tenants: map[Tenant]*seat{}, hanging: list.New(), others: list.New(),
		allWritten: make(chan struct{}),
	}
	p.trials.Ring = p.noteSlow
	return p
}

// vacant returns the number of free permits.
func (p *permits) vacant() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total - p.taken
}

// areClaimed reports whether claimed queues hold permits, other than those with a place.
func (p *permits) areClaimed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > p.direct
}

// areTaken reports whether permits or places are taken.
func (p *permits) areTaken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > 0 || p.places > 0
}

// allot divides the permits for the next claim.
func (p *permits) allot(now time.Time) allotment {
	p.mu.Lock()
	defer p.mu.Unlock()
	tenants := make([]tenant, 0, len(p.tenants))
	for _, l := range []*list.List{p.hanging, p.others} {
		for e := l.Front(); e != nil; {
			s, next := e.Value.(*seat), e.Next()
			if now.Sub(s.last) > rememberedFor && s.isVacant() {
				p.forget(s)
			} else {
				t := s.tenant
				t.strikes += s.stuck
				tenants = append(tenants, t)
			}
			e = next
		}
	}
	a := allot(p.total, tenants, p.total == 1 && now.Before(p.rest))
	p.pass(&a)
	p.claiming = a.limit
	return a
}

// answered notes that no claim is in progress.
func (p *permits) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claiming = 0
	p.admit()
}

// want notes whether the dispatcher wants to claim.
func (p *permits) want(isWanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isWanted != isWanted {
		p.isWanted = isWanted
		p.admit()
	}
}

// pass gives the next turn to the hanging tenants that an allotment excludes.
func (p *permits) pass(a *allotment) {
	excluded := a.excluded()
	e := p.hanging.Front()
	for range p.hanging.Len() {
		next := e.Next()
		if !excluded[e.Value.(*seat).name] {
			p.hanging.MoveToBack(e)
		}
		e = next
	}
}

// take takes a permit for an attempt.
func (p *permits) take(name Tenant, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seatOf(name)
	p.hold(s, 1)
	p.touch(s, now)
}

// seatOf returns the seat of a tenant, and adds it if missing. The caller must call touch.
func (p *permits) seatOf(name Tenant) *seat {
	s := p.tenants[name]
	if s == nil {
		s = &seat{tenant: tenant{name: name}}
		p.tenants[name] = s
	}
	return s
}

func (p *permits) hold(s *seat, n int) {
	p.taken += n
	s.held += n
}

// served notes how many a claim has given each tenant. isFull means that the claim reached its
// limit, and may have ended before the last tenant.
func (p *permits) served(a *allotment, by map[Tenant]int, isFull bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range a.allowances {
		s, n := p.tenants[name], by[name]
		switch {
		case s == nil: // forgotten
		case n == a.of(name):
			s.hungry = true
		case !isFull:
			s.hungry = false
		}
	}
	for name, n := range by {
		s := p.tenants[name]
		if a.allowances[name] == 0 {
			s.hungry = s.held > n // another beside those that it held
		}
	}
}

// free gives the permits of a settled claim back.
func (p *permits) free(f *freed) {
	if f.permits == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold(p.tenants[f.tenant], -f.permits)
	p.admit()
}

// begin begins an attempt of a tenant with a permit. The caller must call end when the attempt ends,
// before it frees the permit.
func (p *permits) begin(t *trial, name Tenant) {
	begun := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.begun, t.seat, t.entry.Of = begun, p.tenants[name], t
	p.trials.Add(&t.entry, begun.Add(p.slow))
}

// noteSlow notes the attempts that have become slow.
func (p *permits) noteSlow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for e := p.trials.Next(now); e != nil; e = p.trials.Next(now) {
		s := e.Of.seat
		s.stuck++
		p.touch(s, now)
	}
}

// end ends an attempt.
func (p *permits) end(t *trial) {
	now := time.Now()
	took := now.Sub(t.begun)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := t.seat
	isStuck := !p.trials.Remove(&t.entry)
	if isStuck {
		s.stuck--
	}
	if isStuck || took >= p.slow {
		if s.strikes > 0 {
			factor := time.Duration(1) << min(s.strikes-1, restDoublings)
			p.rest = now.Add(min(took, longestRest/factor) * factor)
		}
		s.strikes++
	} else {
		s.strikes, s.answered = 0, true
	}
	p.touch(s, now)
}

// touch notes the time of an event of a tenant, and moves the tenant to the end of its list.
// If the list is too long, the first tenant without a permit is forgotten.
func (p *permits) touch(s *seat, now time.Time) {
	s.last = now
	in := p.others
	if s.strikes+s.stuck > 0 {
		in = p.hanging
	}
	if s.in == in {
		in.MoveToBack(s.at)
	} else {
		if s.in != nil {
			s.in.Remove(s.at)
		}
		s.in, s.at = in, in.PushBack(s)
	}
	if in.Len() <= remembered {
		return
	}
	for e := in.Front(); e != nil; e = e.Next() {
		if first := e.Value.(*seat); first.isVacant() {
			p.forget(first)
			return
		}
	}
}

// isVacant reports whether the tenant may be forgotten.
func (s *seat) isVacant() bool { return s.held == 0 && s.places == 0 }

func (p *permits) forget(s *seat) {
	s.in.Remove(s.at)
	delete(p.tenants, s.name)
}
