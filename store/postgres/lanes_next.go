package postgres

import (
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// join gives the creation a lane of its own, or has it wait and returns true.
func (s *Store) join(m *member) (waits bool) {
	l := m.lanes
	if l.crowd.comesBack() {
		defer s.endGatherings() // after the mutex is free
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	isFree := l.isFree(m)
	switch {
	case isFree && m.byOrg:
		m.lane = l.begin([]*member{m}, uncounted)
		return false
	case isFree && l.mayGoAlone():
		m.lane = l.begin([]*member{m}, aloneLane)
		return false
	}
	m.woken = make(chan struct{}, 1)
	l.waiting = append(l.waiting, m)
	if isFree && len(l.waiting) >= l.target() {
		s.next(l)
	}
	return true
}

// isFree reports whether no open lane has a creation of the member's organization.
func (l *lanes) isFree(m *member) bool { return l.byOrg[m.org()] == nil }

func (l *lanes) mayGoAlone() bool {
	most := maxAlone
	if l.isCrowded() {
		most = 1
	}
	return l.alone < most && l.batches == 0 && l.gather == 0
}

// target returns the number of creations that make a batch of several organizations.
func (l *lanes) target() int {
	switch {
	case l.gather > 0:
		return l.gather
	case !l.isCrowded():
		return minBatch
	case l.alone+l.batches > 0:
		return minSecond
	}
	return 2
}

// begin opens a lane.
func (l *lanes) begin(members []*member, kind laneKind) *lane {
	if l.byOrg == nil {
		l.byOrg = map[incident.OrganizationID]*lane{}
	}
	ln := &lane{lanes: l, members: members, began: time.Now(), kind: kind}
	for _, m := range members {
		l.byOrg[m.org()] = ln
	}
	l.count(ln, 1)
	return ln
}

// count adds n times a lane to the open lanes.
func (l *lanes) count(ln *lane, n int) {
	switch ln.kind {
	case aloneLane:
		l.alone += n
	case batchLane:
		l.batches += n
		l.batched += n * len(ln.members)
	}
}

// uncount has creations of other organizations wait no longer for the lane.
func (l *lanes) uncount(ln *lane) {
	l.count(ln, -1)
	ln.kind = uncounted
}

// release has creations of its organizations wait no longer for the lane.
func (l *lanes) release(ln *lane) {
	for _, m := range ln.members {
		if org := m.org(); l.byOrg[org] == ln {
			delete(l.byOrg, org)
		}
	}
}

// end closes a lane, and starts the next lanes. The members that left wait again, for a lane of
// their organization.
func (s *Store) end(ln *lane, left []*member) {
	ln.lanes.mu.Lock()
	defer ln.lanes.mu.Unlock()
	s.endHeld(ln, left)
}

// endHeld is end for a caller that holds the mutex.
func (s *Store) endHeld(ln *lane, left []*member) {
	l := ln.lanes
	l.release(ln)
	isCounted := ln.kind != uncounted
	l.uncount(ln)
	if n := len(ln.members) - len(left); isCounted {
		if l.isCrowded() {
			l.crowd.leaves(n)
		}
		if n > 2 {
			s.beginGathering(l, l.expected(n))
		}
	}
	left = slices.DeleteFunc(left, func(m *member) bool { return m.gone })
	for _, m := range left {
		m.byOrg = true
	}
	if len(left) > 0 {
		l.waiting = slices.Concat(left, l.waiting)
	}
	s.next(l)
}

// expected returns the number of members for which the next batch waits, after a batch of n members.
func (l *lanes) expected(n int) int {
	_, ready, _ := l.ready()
	n += ready
	if l.isCrowded() {
		return min((l.crowd.share()*7+7)/8, n, maxMembers)
	}
	return min((l.share(n)*7+7)/8, n, maxMembers)
}

// share returns the share of a batch in n creations and those of the batches in progress.
func (l *lanes) share(n int) int { return (n + l.batched + 1) / maxBatches }

// most returns the number of members that a batch takes of n that are ready.
func (l *lanes) most(n int) int {
	if l.isCrowded() && n < 2*minSecond {
		return n
	}
	return min(max(l.share(n), minBatch), maxMembers)
}

// beginGathering has the next batch wait for n members, because the callers of a batch soon call
// again. The member that completes them starts the batch. Otherwise batches of a few members
// would alternate with large batches, or the creations would stay divided into one group more than
// there are batches.
func (s *Store) beginGathering(l *lanes, n int) {
	l.gather = n
	l.gathers++
	number := l.gathers
	time.AfterFunc(gatherTime, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.gathers == number && l.gather > 0 {
			l.crowd.forget()
			s.endGathering(l)
		}
	})
}

func (s *Store) endGathering(l *lanes) {
	l.gather = 0
	s.next(l)
}

// next starts all lanes that can start.
func (s *Store) next(l *lanes) {
	for i := 0; i < len(l.waiting); {
		if m := l.waiting[i]; m.byOrg && l.isFree(m) {
			s.start(l, l.take(i, maxGroup, true), uncounted) // and removes it
		} else {
			i++
		}
	}
	for {
		first, n, behind := l.ready()
		switch {
		case n == 0:
			return
		case max(n, behind) >= l.target() && l.batches < maxBatches:
			l.gather = 0
			s.start(l, l.take(first, l.most(n), false), batchLane)
		case l.mayGoAlone():
			s.start(l, l.take(first, maxMembers, true), aloneLane)
		default:
			return
		}
	}
}

// ready returns the index of the first creation that can go with those of other organizations, how
// many can go in its batch, and how many of other layouts can go behind it.
func (l *lanes) ready() (first, n, behind int) {
	for i, m := range l.waiting {
		switch {
		case m.byOrg || !l.isFree(m):
		case n == 0:
			first, n = i, 1
		case m.layout == l.waiting[first].layout:
			n++
		default:
			behind++
		}
	}
	return first, n, behind
}

// take removes and returns the members of the next lane: the given creation and others of its
// layout. With byOrg all have its organization. Of more than most members, those remain that can
// go in another lane meanwhile.
func (l *lanes) take(first, most int, byOrg bool) (members []*member) {
	m := l.waiting[first]
	members = make([]*member, 0, min(len(l.waiting), maxMembers))
	goes := func(other *member) bool {
		switch {
		case other.layout != m.layout || !l.isFree(other) || len(members) == maxMembers:
			return false
		case byOrg:
			return other.org() == m.org() && len(members) < most
		}
		return !other.byOrg && (len(members) < most || slices.ContainsFunc(members, func(of *member) bool { return of.org() == other.org() }))
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(other *member) bool {
		isTaken := goes(other)
		if isTaken {
			members = append(members, other)
		}
		return isTaken
	})
	return members
}

// isOfOne reports whether all members have the same organization.
func isOfOne(members []*member) bool {
	return !slices.ContainsFunc(members, func(m *member) bool { return m.org() != members[0].org() })
}

// start opens a lane for the members. A single member goes alone, with its own context.
func (s *Store) start(l *lanes, members []*member, kind laneKind) {
	if kind == batchLane && isOfOne(members) {
		kind = aloneLane
	}
	ln := l.begin(members, kind)
	if len(members) == 1 {
		members[0].lane = ln
		members[0].woken <- struct{}{}
		return
	}
	go s.runBatch(ln)
}

// leave removes a creation that waits. Otherwise it returns false; if the creation is gone,
// nobody waits for it.
func (l *lanes) leave(m *member, isGone bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, m)
	if i < 0 {
		m.gone = isGone
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// retire has creations wait no longer for lanes that take too long.
func (s *Store) retire(l *lanes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.byOrg {
		age := time.Since(ln.began)
		if age >= l.wait(minLaneWait, maxLaneWait) {
			l.uncount(ln)
		}
		if age >= l.wait(minWait, maxWait) {
			l.release(ln)
		}
	}
	s.next(l)
}
