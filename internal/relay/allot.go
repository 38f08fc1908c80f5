package relay

// Tenant names those that share the permits of a relay.
type Tenant string

// tenant is the record of a tenant that has had an attempt.
type tenant struct {
	name     Tenant
	held     int  // permits that it holds now
	strikes  int  // slow attempts since the last that ended in time
	answered bool // an attempt has ended in time
	hungry   bool // a claim for several permits has left something due
}

// allotment limits the next claim: each tenant gets at most a permit, unless said otherwise.
type allotment struct {
	limit      int            // for all tenants together; 0 for no claim
	allowances map[Tenant]int // of tenants that may get several permits
	except     []Tenant       // tenants that get none
}

// allot divides the permits for the next claim.
//
// The problem: a tenant whose receiver hangs keeps its permits for long, and must not hold up
// the others. Equal parts would be the obvious rule, but a tenant that is alone would then use
// a fraction of the permits, and where tenants outnumber permits there are no equal parts. The
// rules are:
//
//   - A quarter of the permits is a reserve for tenants that hold none.
//   - A tenant may hold all of the rest once an attempt has ended in time. Before that, it
//     gets a single permit.
//   - Each slow attempt in a row halves the number of permits that the tenant may hold, down
//     to a single permit. An attempt that ends in time restores it.
//   - Tenants whose last attempt was slow get half of the permits together, and none of the
//     reserve. With a single permit, they get it a ninth of the time in the end.
//   - A tenant that is alone may hold all but the reserve, since it holds up nobody.
//
// Where many tenants that answer have more due than there are permits, a claim takes a chunk
// of some, and the next claim continues with the others.
//
// The tenants are in the order of their turns. resting means that no tenant that was slow gets
// a permit now.
func allot(permits int, tenants []tenant, resting bool) allotment {
	s := countTenants(tenants)
	reserve := permits / 4
	if permits > 1 && !s.alone {
		reserve = max(reserve, 1)
	}
	free, most := max(permits-s.taken, 0), permits-reserve
	general := max(free-reserve, 0)
	// Half of the permits at a time, so that a half is claimed while the other is settled.
	a := allotment{limit: min(free, (permits+1)/2)}
	if general > 0 && general < s.holders {
		a.limit = min(a.limit, general) // the first tenants that come
	}
	isChunked := s.slow == 0 && a.limit > general && general >= chunk && s.hungry > 0 && general/s.hungry < chunk
	if isChunked {
		a.limit = general
	}
	intoReserve := a.limit > general || isChunked
	if s.slow > 0 {
		general -= a.allotSlow(tenants, general, permits, most, resting)
	}
	shallow := len(tenants) - s.slow - s.holders - deepest
	holders, hungry := s.holders, s.hungry
	for _, t := range tenants {
		switch {
		case t.strikes > 0 && !s.alone:
		case !t.answered && !s.alone:
			a.set(t.name, 1-t.held)
		case t.held == 0 && (intoReserve || shallow > 0):
			shallow--
		case !intoReserve:
			a.set(t.name, most-t.held)
		default: // it holds some: a permit for each of the others, and the hungry divide the rest
			part := min(1, general)
			switch {
			case isChunked && t.hungry:
				part = chunk
			case t.hungry || s.holders == 1:
				part = max(general-(holders-hungry), 0) / hungry
				hungry--
			}
			part = min(part, most-t.held)
			if !isChunked {
				holders--
				general -= max(part, 0)
			}
			a.set(t.name, part)
		}
	}
	return a
}

// census counts tenants by their share in the permits.
type census struct {
	alone   bool // there is a single tenant at most
	taken   int  // permits
	slow    int  // tenants whose last attempt was slow
	holders int  // other tenants that hold permits and may get several
	hungry  int  // holders that may have more due; 1 if there is a single holder
}

func countTenants(tenants []tenant) census {
	s := census{alone: len(tenants) <= 1}
	for _, t := range tenants {
		s.taken += t.held
		switch {
		case t.strikes > 0 && !s.alone:
			s.slow++
		case t.held > 0 && (t.answered || s.alone):
			s.holders++
			if t.hungry {
				s.hungry++
			}
		}
	}
	if s.holders == 1 {
		s.hungry = 1
	}
	return s
}

// chunk is how many a claim takes of a tenant where many have more due than there are permits
// and none was slow. The next claim continues behind it. Looking for a few of each tenant costs
// more than claiming them.
const chunk = 16

// deepest is how many tenants without a permit may get several: those with the most recent
// attempts.
const deepest = 64

// allotSlow divides the permits for tenants that were slow, and returns the number of permits
// that they may take. Each tenant without a permit gets a permit first.
func (a *allotment) allotSlow(tenants []tenant, general, permits, most int, resting bool) (sum int) {
	room := max(permits/2, 1)
	for _, t := range tenants {
		if t.strikes > 0 {
			room -= t.held
		}
	}
	if room = max(min(room, general), 0); resting {
		room = 0
	}
	whole := room
	first := map[Tenant]int{}
	for _, t := range tenants {
		if t.strikes > 0 && t.held == 0 && room > 0 {
			first[t.name] = 1
			room--
		}
	}
	for _, t := range tenants {
		if t.strikes == 0 {
			continue
		}
		n := first[t.name]
		want := max(max(most>>min(t.strikes, 32), 1)-t.held-n, 0)
		more := min(want, room)
		room -= more
		a.set(t.name, n+more)
	}
	return whole - room
}

// set gives a tenant its part.
func (a *allotment) set(name Tenant, n int) {
	switch {
	case n <= 0:
		a.except = append(a.except, name)
	case n > 1:
		if a.allowances == nil {
			a.allowances = map[Tenant]int{}
		}
		a.allowances[name] = n
	}
}

// excluded returns the tenants that get no permit.
func (a *allotment) excluded() map[Tenant]bool {
	all := make(map[Tenant]bool, len(a.except))
	for _, name := range a.except {
		all[name] = true
	}
	return all
}

// of returns how many permits a claim may give a tenant that is not excluded.
func (a *allotment) of(name Tenant) int {
	if n, named := a.allowances[name]; named {
		return n
	}
	return 1
}
