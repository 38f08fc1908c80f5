package incident

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// tenancy is a world of organizations of which some hang, in which places are claimed as
// the rule says.
type tenancy struct {
	places  int
	tenants []tenant
	due     map[OrganizationID]int
}

func (w *tenancy) find(org OrganizationID) *tenant {
	i := slices.IndexFunc(w.tenants, func(t tenant) bool { return t.organization == org })
	if i < 0 {
		w.tenants = append(w.tenants, tenant{organization: org})
		i = len(w.tenants) - 1
	}
	return &w.tenants[i]
}

// claim takes what an allotment lets it, as a store would.
func (w *tenancy) claim(a allotment) (n int) {
	var orgs []OrganizationID
	for org := range w.due {
		orgs = append(orgs, org)
	}
	rand.Shuffle(len(orgs), func(i, j int) { orgs[i], orgs[j] = orgs[j], orgs[i] })
	for _, org := range orgs {
		if slices.Contains(a.except, org) {
			continue
		}
		got := min(a.of(org), w.due[org], a.limit-n)
		if got > 0 {
			w.find(org).held += got
			w.due[org] -= got
			n += got
		}
	}
	return n
}

// check returns what is wrong with what is held.
func (w *tenancy) check() error {
	taken, several := 0, 0
	reserve := w.places / 4
	if len(w.tenants) > 1 && w.places > 1 {
		reserve = max(reserve, 1)
	}
	for _, t := range w.tenants {
		taken += t.held
		if t.held > 1 {
			several += t.held - 1
		}
		if t.held > w.places-w.places/4 {
			return fmt.Errorf("%s holds %d of %d places", t.organization, t.held, w.places)
		}
	}
	if taken > w.places {
		return fmt.Errorf("%d of %d places are taken", taken, w.places)
	}
	if several > w.places-reserve {
		return fmt.Errorf("of %d places %d are not the first of an organization", w.places, several)
	}
	return nil
}

// Whatever happens, what is held keeps the rule, and nobody is left out for ever.
func TestAllot(t *testing.T) {
	for range 2000 {
		w := &tenancy{places: 1 + rand.N(32), due: map[OrganizationID]int{}}
		hanging := rand.N(8)
		for i := range 1 + rand.N(12) {
			w.due[OrganizationID(fmt.Sprint(i))] = rand.N(40)
		}
		for range 60 {
			a := allot(w.places, w.tenants, false)
			if a.limit < 0 || slices.Contains(a.except, "new") {
				t.Fatalf("allot(%d, %+v) = %+v", w.places, w.tenants, a)
			}
			slowBefore, slowAfter := 0, 0
			for _, s := range w.tenants {
				if s.strikes > 0 {
					slowBefore += s.held
				}
			}
			w.claim(a)
			for _, s := range w.tenants {
				if s.strikes > 0 {
					slowAfter += s.held
				}
			}
			if len(w.tenants) > 1 && slowAfter > max(slowBefore, w.places/2, 1) {
				t.Fatalf("organizations that were slow hold %d places of %d after an allotment to %+v", slowAfter, w.places, w.tenants)
			}
			if err := w.check(); err != nil {
				t.Fatalf("after %+v: %v", a, err)
			}
			for i := range w.tenants { // some attempts end
				s := &w.tenants[i]
				if s.held == 0 || rand.N(2) == 0 {
					continue
				}
				s.held--
				if int(s.organization[0]-'0') < hanging {
					s.strikes++
				} else {
					s.strikes, s.answered, s.hungry = 0, true, rand.N(2) == 0
				}
			}
		}
	}
}

// Where all that were slow hold as much as they may get, there is a place for one that
// holds none.
func TestAllot_leavesAPlace(t *testing.T) {
	for places := 2; places <= 64; places++ {
		for hanging := range 100 {
			w := &tenancy{places: places, due: map[OrganizationID]int{}}
			w.find("third").answered = true
			for i := range hanging {
				org := OrganizationID(fmt.Sprint("hanging-", i))
				w.due[org] = 100
				w.find(org).strikes = 1 + i%3
			}
			for w.claim(allot(places, w.tenants, false)) > 0 {
			}
			w.due["third"] = 1
			if w.claim(allot(places, w.tenants, false)) != 1 {
				t.Fatalf("beside %d that were slow another one gets none of %d places: %+v", hanging, places, w.tenants)
			}
		}
	}
}

// With nobody else, an organization gets all but a quarter, and with others as well once it
// has answered.
func TestAllot_usesPlaces(t *testing.T) {
	for places := 1; places <= 64; places++ {
		for _, others := range []int{0, 1, 5} {
			w := &tenancy{places: places, due: map[OrganizationID]int{"busy": 1000}}
			w.find("busy").answered = others > 0
			for i := range others {
				w.find(OrganizationID(fmt.Sprint(i)))
			}
			for w.claim(allot(places, w.tenants, false)) > 0 {
			}
			want := places - places/4
			if others > 0 && places > 1 {
				want = min(want, places-1)
			}
			if got := w.find("busy").held; got != want {
				t.Errorf("beside %d others it gets %d of %d places, want %d", others, got, places, want)
			}
		}
	}
}

// Those that were slow get their turn in order, and none while they rest.
func TestAllot_slow(t *testing.T) {
	tenants := []tenant{{organization: "a", strikes: 1}, {organization: "b", strikes: 4}, {organization: "c", strikes: 2}, {organization: "d", answered: true}}
	a := allot(4, tenants, false)
	if !slices.Equal(a.except, []OrganizationID{"c"}) || a.of("a") != 1 || a.of("b") != 1 {
		t.Errorf("of 4 places three that were slow get %+v, want one each for the first two", a)
	}
	if a = allot(4, tenants, true); len(a.except) != 3 {
		t.Errorf("while they rest, those that were slow get %+v", a)
	}
	tenants = []tenant{{organization: "a", strikes: 1}, {organization: "b", strikes: 2}, {organization: "d"}}
	if a = allot(16, tenants, false); a.of("a") != 6 || a.of("b") != 2 {
		t.Errorf("of 16 places two that were slow get %+v, want 6 and 2 (of 12, halved once and twice)", a)
	}
}
