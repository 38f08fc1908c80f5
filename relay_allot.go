package incident

// The places of a relay are shared so that an organization whose receiver hangs does not
// hold up the others. allot is the rule:
//
//   - A quarter of the places is a reserve for organizations that hold none.
//   - Of the rest an organization may hold all, after an attempt has ended in time. Until
//     then it gets one place.
//   - Each slow attempt in a row halves what an organization may hold, down to one place.
//     An attempt that ends in time restores it.
//   - Organizations whose last attempt was slow get half of the places together, and none
//     of the reserve. If there is only one place, they get it a ninth of the time in the end.
//
// Where many organizations that answer have more due than there are places, a claim takes a
// chunk of some, and the next claim goes on with the others.
//
// An organization that is alone may hold all but the reserve: there is nobody to hold up.

// tenant is what is known of an organization that has had an attempt.
type tenant struct {
	organization OrganizationID
	held         int  // places that it has now
	strikes      int  // slow attempts since the last one that ended in time
	answered     bool // an attempt has ended in time
	hungry       bool // a claim for several places has left something
}

// allotment is what the next claim may take: a place for each organization, if nothing else
// is said.
type allotment struct {
	limit      int                    // 0 for no claim
	allowances map[OrganizationID]int // of organizations that may get several places
	except     []OrganizationID
	closed     bool                    // all that are known are left out
	short      map[OrganizationID]bool // they may get more when a place of others is free
}

// allot decides what to claim for a number of places. The tenants are in the order in which
// they get their turn; resting means that none that was slow gets a place now.
func allot(places int, tenants []tenant, resting bool) allotment {
	alone := len(tenants) <= 1
	taken, slow, holders, hungry := 0, 0, 0, 0
	for _, t := range tenants {
		taken += t.held
		switch {
		case t.strikes > 0 && !alone:
			slow++
		case t.held > 0 && (t.answered || alone):
			holders++
			if t.hungry {
				hungry++
			}
		}
	}
	isSole := holders == 1
	if isSole {
		hungry = 1
	}
	reserve := places / 4
	if places > 1 && !alone {
		reserve = max(reserve, 1)
	}
	free, most := max(places-taken, 0), places-reserve
	general := max(free-reserve, 0)
	// Half of the places at a time, so that one half is claimed while the other is settled.
	a := allotment{limit: min(free, (places+1)/2)}
	if general > 0 && general < holders {
		a.limit = min(a.limit, general) // whoever comes first
	}
	isChunked := slow == 0 && a.limit > general && general >= chunk && hungry > 0 && general/hungry < chunk
	if isChunked {
		a.limit = general
	}
	intoReserve := a.limit > general || isChunked
	if slow > 0 {
		general -= a.allotSlow(tenants, general, places, most, resting)
	}
	shallow := len(tenants) - slow - holders - deepest
	for _, t := range tenants {
		switch {
		case t.strikes > 0 && !alone:
		case !t.answered && !alone:
			a.set(t.organization, 1-t.held, false)
		case t.held == 0 && (intoReserve || shallow > 0):
			shallow--
		case !intoReserve:
			a.set(t.organization, most-t.held, false)
		default: // it holds some: those that are hungry divide what one for each of the others leaves
			part := min(1, general)
			switch {
			case isChunked && t.hungry:
				part = chunk
			case t.hungry || isSole:
				part = max(general-(holders-hungry), 0) / hungry
				hungry--
			}
			part = min(part, most-t.held)
			if !isChunked {
				holders--
				general -= max(part, 0)
			}
			a.set(t.organization, part, part < most-t.held)
		}
	}
	a.closed = len(tenants) > 0 && len(a.except) == len(tenants)
	return a
}

// chunk is how much a claim takes of an organization at a time where many have more due than
// there are places and none was slow: the next claim goes on behind it. Looking for a few of
// each costs more than claiming them.
const chunk = 16

// deepest is for how many organizations that hold no place more than one is allowed: for
// those that had an attempt most recently.
const deepest = 64

// allotSlow divides what organizations get that were slow, and returns how much that is at
// most. First, each that holds no place gets one.
func (a *allotment) allotSlow(tenants []tenant, general, places, most int, resting bool) (sum int) {
	room := max(places/2, 1)
	for _, t := range tenants {
		if t.strikes > 0 {
			room -= t.held
		}
	}
	if room = max(min(room, general), 0); resting {
		room = 0
	}
	whole := room
	first := map[OrganizationID]int{}
	for _, t := range tenants {
		if t.strikes > 0 && t.held == 0 && room > 0 {
			first[t.organization] = 1
			room--
		}
	}
	for _, t := range tenants {
		if t.strikes == 0 {
			continue
		}
		n := first[t.organization]
		want := max(max(most>>min(t.strikes, 32), 1)-t.held-n, 0)
		more := min(want, room)
		room -= more
		a.set(t.organization, n+more, more < want)
	}
	return whole - room
}

// set gives an organization its part.
func (a *allotment) set(org OrganizationID, n int, isShort bool) {
	switch {
	case n <= 0:
		a.except = append(a.except, org)
	case n > 1:
		if a.allowances == nil {
			a.allowances = map[OrganizationID]int{}
		}
		a.allowances[org] = n
	}
	if isShort {
		if a.short == nil {
			a.short = map[OrganizationID]bool{}
		}
		a.short[org] = true
	}
}

// excluded returns the organizations that get nothing.
func (a *allotment) excluded() map[OrganizationID]bool {
	all := make(map[OrganizationID]bool, len(a.except))
	for _, org := range a.except {
		all[org] = true
	}
	return all
}

// of is how many places a claim may give an organization.
func (a *allotment) of(org OrganizationID) int {
	if n, named := a.allowances[org]; named {
		return n
	}
	return 1
}
