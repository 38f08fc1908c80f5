package incident

import (
	"container/list"
	"sync"
	"time"
)

const (
	// slowest is how long an attempt may take before it counts as slow. It is half of the
	// timeout where that is less.
	slowest = 5 * time.Second

	// remembered is how many organizations are known whose last attempt was slow, and how
	// many others. An organization is forgotten at the latest rememberedFor after its last
	// attempt.
	remembered    = 512
	rememberedFor = time.Hour

	// After the second slow attempt in a row, a relay with one place makes none for any
	// organization that was slow for as long as the attempt took. Each further one doubles
	// that, up to restDoublings times and longestRest.
	restDoublings = 3
	longestRest   = 5 * time.Minute
)

// places knows which organizations hold the places of a relay, and whose attempts were
// slow. It is safe for use by many goroutines.
type places struct {
	total int
	slow  time.Duration // how long a slow attempt takes at least

	mu      sync.Mutex // guards what is below
	taken   int
	tenants map[OrganizationID]*seat
	hanging *list.List // of *seat, with strikes or stuck attempts; the next in turn comes first
	others  *list.List // of *seat; the least recently used comes first
	rest    time.Time  // until then nothing is attempted for hanging organizations
}

// seat is a tenant with what only places need to know.
type seat struct {
	tenant
	stuck int       // attempts that are slow and have not ended
	last  time.Time // when it took a place, or an attempt became slow or ended

	in *list.List
	at *list.Element // of in
}

func newPlaces(total int, timeout time.Duration) *places {
	return &places{
		total: total, slow: min(timeout/2, slowest),
		tenants: map[OrganizationID]*seat{}, hanging: list.New(), others: list.New(),
	}
}

func (p *places) vacant() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total - p.taken
}

// allot decides what the next claim may take.
func (p *places) allot(now time.Time) allotment {
	p.mu.Lock()
	defer p.mu.Unlock()
	tenants := make([]tenant, 0, len(p.tenants))
	for _, l := range []*list.List{p.hanging, p.others} {
		for e := l.Front(); e != nil; {
			s, next := e.Value.(*seat), e.Next()
			if now.Sub(s.last) > rememberedFor && s.held == 0 {
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
	p.pass(a.except)
	return a
}

// pass gives the next turn to the hanging organizations that an allotment leaves out.
func (p *places) pass(except []OrganizationID) {
	left := make(map[OrganizationID]bool, len(except))
	for _, org := range except {
		left[org] = true
	}
	e := p.hanging.Front()
	for range p.hanging.Len() {
		next := e.Next()
		if !left[e.Value.(*seat).organization] {
			p.hanging.MoveToBack(e)
		}
		e = next
	}
}

// take takes a place for an attempt.
func (p *places) take(org OrganizationID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
	s := p.tenants[org]
	if s == nil {
		s = &seat{tenant: tenant{organization: org}}
		p.tenants[org] = s
	}
	s.held++
	p.touch(s, now)
}

// served notes what a claim has given. isFull means that it has ended before the last
// organization.
func (p *places) served(a *allotment, by map[OrganizationID]int, isFull bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for org := range a.allowances {
		s, n := p.tenants[org], by[org]
		switch {
		case s == nil: // forgotten
		case n == a.of(org):
			s.hungry = true
		case !isFull:
			s.hungry = false
		}
	}
	for org, n := range by {
		s := p.tenants[org]
		if a.allowances[org] == 0 {
			s.hungry = s.held > n // one more beside what it held
		}
	}
}

// free gives a place back.
func (p *places) free(org OrganizationID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.tenants[org].held--
}

// attempt begins an attempt, whose place is taken and is freed after its end. The caller
// must call end.
func (p *places) attempt(org OrganizationID) (end func()) {
	begun := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.tenants[org]
	isStuck, ended := false, false
	timer := time.AfterFunc(p.slow, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if ended {
			return
		}
		isStuck = true
		s.stuck++
		p.touch(s, time.Now())
	})
	return func() {
		timer.Stop()
		now := time.Now()
		took := now.Sub(begun)
		p.mu.Lock()
		defer p.mu.Unlock()
		ended = true
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
}

// touch notes that something happened to an organization, and moves it to the end of its
// list. The list may then be without its first one.
func (p *places) touch(s *seat, now time.Time) {
	s.last = now
	if s.in != nil {
		s.in.Remove(s.at)
	}
	s.in = p.others
	if s.strikes+s.stuck > 0 {
		s.in = p.hanging
	}
	s.at = s.in.PushBack(s)
	if s.in.Len() <= remembered {
		return
	}
	for e := s.in.Front(); e != nil; e = e.Next() {
		if first := e.Value.(*seat); first.held == 0 {
			p.forget(first)
			return
		}
	}
}

func (p *places) forget(s *seat) {
	s.in.Remove(s.at)
	delete(p.tenants, s.organization)
}
