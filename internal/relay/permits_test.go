package relay

import (
	"fmt"
	"testing"
	"time"
)

// The tenant that is forgotten first is the least recently used, not the first that came.
func TestPermits_forgetLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	p := newPermits(4, time.Minute)
	now := time.Now()
	use := func(i int) {
		name := Tenant(fmt.Sprint("tenant-", i))
		p.take(name, now)
		p.free(&freed{held: held{permits: 1}, tenant: name})
	}
	for i := range remembered {
		use(i)
	}
	use(0)
	use(remembered)
	for i, want := range map[int]bool{0: true, 1: false, 2: true, remembered: true} {
		if got := p.tenants[Tenant(fmt.Sprint("tenant-", i))] != nil; got != want {
			t.Errorf("tenant %d is known: %t, want %t", i, got, want)
		}
	}
	if got := p.others.Len(); got != remembered {
		t.Errorf("%d tenants are known, want %d", got, remembered)
	}
}

// A tenant whose attempt was slow is in the list of those, and returns with an attempt in time.
func TestPermits_listsByLastAttempt(t *testing.T) {
	t.Parallel()
	p := newPermits(4, 4*time.Hour)
	now := time.Now()
	p.take("acme", now)
	s := p.tenants["acme"]
	for _, strikes := range []int{0, 1, 2, 0} {
		s.strikes = strikes
		p.touch(s, now)
		others, hanging := 1, 0
		if strikes > 0 {
			others, hanging = 0, 1
		}
		if p.others.Len() != others || p.hanging.Len() != hanging {
			t.Errorf("after %d slow attempts the tenant is %d times among the others and %d times among the hanging",
				strikes, p.others.Len(), p.hanging.Len())
		}
	}
}
