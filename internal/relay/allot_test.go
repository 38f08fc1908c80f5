package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// tenancy is a world of tenants, some of which hang. Permits are claimed by the rule.
type tenancy struct {
	permits int
	tenants []tenant
	due     map[Tenant]int
}

func (w *tenancy) find(name Tenant) *tenant {
	i := slices.IndexFunc(w.tenants, func(t tenant) bool { return t.name == name })
	if i < 0 {
		w.tenants = append(w.tenants, tenant{name: name})
		i = len(w.tenants) - 1
	}
	return &w.tenants[i]
}

// claim takes as many permits as an allotment allows, as a store would.
func (w *tenancy) claim(a allotment) (n int) {
	var orgs []Tenant
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

// check returns an error if the held permits break the rule.
func (w *tenancy) check() error {
	taken, several := 0, 0
	reserve := w.permits / 4
	if len(w.tenants) > 1 && w.permits > 1 {
		reserve = max(reserve, 1)
	}
	for _, t := range w.tenants {
		taken += t.held
		if t.held > 1 {
			several += t.held - 1
		}
		if t.held > w.permits-w.permits/4 {
			return fmt.Errorf("%s holds %d of %d permits", t.name, t.held, w.permits)
		}
	}
	if taken > w.permits {
		return fmt.Errorf("%d of %d permits are taken", taken, w.permits)
	}
	if several > w.permits-reserve {
		return fmt.Errorf("of %d permits %d are not the first of a tenant", w.permits, several)
	}
	return nil
}

// The held permits keep the rule, whatever happens, and a new tenant is never excluded.
func TestAllot_keepsTheRule(t *testing.T) {
	for range 2000 {
		w := &tenancy{permits: 1 + rand.N(32), due: map[Tenant]int{}}
		hanging := rand.N(8)
		for i := range 1 + rand.N(12) {
			w.due[Tenant(fmt.Sprint(i))] = rand.N(40)
		}
		for range 60 {
			a := allot(w.permits, w.tenants, false)
			if a.limit < 0 || slices.Contains(a.except, "new") {
				t.Fatalf("allot(%d, %+v) = %+v", w.permits, w.tenants, a)
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
			if len(w.tenants) > 1 && slowAfter > max(slowBefore, w.permits/2, 1) {
				t.Fatalf("tenants that were slow hold %d permits of %d after an allotment to %+v", slowAfter, w.permits, w.tenants)
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
				if int(s.name[0]-'0') < hanging {
					s.strikes++
				} else {
					s.strikes, s.answered, s.hungry = 0, true, rand.N(2) == 0
				}
			}
		}
	}
}

// Where all tenants that were slow hold as much as they may get, a permit is left for a tenant
// that holds none.
func TestAllot_leavesAPermit(t *testing.T) {
	for permits := 2; permits <= 64; permits++ {
		for hanging := range 100 {
			w := &tenancy{permits: permits, due: map[Tenant]int{}}
			w.find("third").answered = true
			for i := range hanging {
				org := Tenant(fmt.Sprint("hanging-", i))
				w.due[org] = 100
				w.find(org).strikes = 1 + i%3
			}
			for w.claim(allot(permits, w.tenants, false)) > 0 {
			}
			w.due["third"] = 1
			if w.claim(allot(permits, w.tenants, false)) != 1 {
				t.Fatalf("beside %d that were slow another tenant gets none of %d permits: %+v", hanging, permits, w.tenants)
			}
		}
	}
}

// A tenant that is alone gets all permits but a quarter, and so does a tenant among others
// once it has answered.
func TestAllot_usesPermits(t *testing.T) {
	for permits := 1; permits <= 64; permits++ {
		for _, others := range []int{0, 1, 5} {
			w := &tenancy{permits: permits, due: map[Tenant]int{"busy": 1000}}
			w.find("busy").answered = others > 0
			for i := range others {
				w.find(Tenant(fmt.Sprint(i)))
			}
			for w.claim(allot(permits, w.tenants, false)) > 0 {
			}
			want := permits - permits/4
			if others > 0 && permits > 1 {
				want = min(want, permits-1)
			}
			if got := w.find("busy").held; got != want {
				t.Errorf("beside %d others it gets %d of %d permits, want %d", others, got, permits, want)
			}
		}
	}
}

// Tenants that were slow get their turns in order, and none while they rest.
func TestAllot_slowTenantsTakeTurns(t *testing.T) {
	tenants := []tenant{{name: "a", strikes: 1}, {name: "b", strikes: 4}, {name: "c", strikes: 2}, {name: "d", answered: true}}
	a := allot(4, tenants, false)
	if !slices.Equal(a.except, []Tenant{"c"}) || a.of("a") != 1 || a.of("b") != 1 {
		t.Errorf("of 4 permits three tenants that were slow get %+v, want one each for the first two", a)
	}
	if a = allot(4, tenants, true); len(a.except) != 3 {
		t.Errorf("while they rest, tenants that were slow get %+v", a)
	}
	tenants = []tenant{{name: "a", strikes: 1}, {name: "b", strikes: 2}, {name: "d"}}
	if a = allot(16, tenants, false); a.of("a") != 6 || a.of("b") != 2 {
		t.Errorf("of 16 permits two tenants that were slow get %+v, want 6 and 2 (of 12, halved once and twice)", a)
	}
}
