package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world runs a Relay with 8 permits whose attempts take a time.
type world struct {
	*Relay[string, string]
	stop func() // ends Run and waits for its end

	mu                      sync.Mutex // guards the fields below
	takes                   func(name string) time.Duration
	due                     []string
	claims, settles         int
	hangs                   chan struct{} // Settle waits until it is closed, if not nil
	claimHangs              chan struct{} // as hangs, for Claim
	sent, settled, released []string
	sending, most           int
}

func inWorld(t *testing.T, permits int, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: func(string) time.Duration { return 0 }}
		w.Relay = New(Config[string, string]{
			Permits: permits, Timeout: 20 * time.Second, PollInterval: time.Minute, Grace: 20 * time.Second,
			Claim: w.claim, Settle: w.settle, Tenant: tenantOf, Send: w.send,
			Release: func(name *string) string {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.released = append(w.released, *name)
				return *name
			},
			Freed: func(name *string) (Tenant, time.Duration) { return tenantOf(name), 0 },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { w.Run(ctx) })
		w.stop = func() {
			cancel()
			run.Wait()
		}
		synctest.Wait()
		f(t, w)
		w.stop()
	})
}

func (w *world) claim(_ context.Context, q Query) (claims []string, err error) {
	w.mu.Lock()
	hangs := w.claimHangs
	w.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claims++
	n := min(q.Limit, len(w.due))
	claims, w.due = w.due[:n], w.due[n:]
	return claims, nil
}

func (w *world) settle(_ context.Context, all []string) (busy []int, err error) {
	w.mu.Lock()
	hangs := w.hangs
	w.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settles++
	w.settled = append(w.settled, all...)
	return nil, nil
}

func (w *world) send(s *Sending, name *string, done func(string)) {
	s.Begin()
	w.mu.Lock()
	w.sending++
	w.most = max(w.most, w.sending)
	takes := w.takes(*name)
	w.mu.Unlock()
	time.Sleep(takes)
	w.mu.Lock()
	w.sending--
	w.sent = append(w.sent, *name)
	w.mu.Unlock()
	s.End()
	done(*name)
}

// slow has every attempt take a time.
func (w *world) slow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takes = func(string) time.Duration { return d }
}

func (w *world) place(t *testing.T, name string, n int) *Place[string, string] {
	t.Helper()
	p := w.Reserve(tenantOf(&name), n)
	if p == nil {
		t.Fatalf("%s gets no place", name)
	}
	return p
}

// made returns the numbers of claims and settlements.
func (w *world) made() (claims, settles int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claims, w.settles
}

func (w *world) check(t *testing.T, when string, sent, released, settled int) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) != sent || len(w.released) != released || len(w.settled) != settled {
		t.Errorf("%s %d are sent, %d released and %d settled, want %d, %d and %d",
			when, len(w.sent), len(w.released), len(w.settled), sent, released, settled)
	}
}

// Queues with places are delivered without a claim, and settled together.
func TestPlace_delivers(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		before, _ := w.made()
		var places []*Place[string, string]
		for i := range 5 {
			places = append(places, w.place(t, fmt.Sprintf("%c1", 'a'+i), 2))
		}
		for i, p := range places {
			p.Deliver(fmt.Sprintf("%c1", 'a'+i))
		}
		time.Sleep(100 * time.Millisecond)
		w.check(t, "after the writes", 5, 0, 5)
		if claims, settles := w.made(); claims != before || settles > 2 {
			t.Errorf("%d claims and %d settlements were made, want none and at most 2", claims-before, settles)
		}
	})
}

func TestReserve_refuses(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.stop()
		if w.Reserve("a", 1) != nil {
			t.Error("after Run there is a place")
		}
	})
	inWorld(t, 1, func(t *testing.T, w *world) {
		if w.Reserve("a", 1) != nil {
			t.Error("a relay with a single permit has a place")
		}
	})
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.place(t, "b", 1).Cancel()
		first := w.place(t, "a", 2)
		if w.Reserve("a", 2) != nil {
			t.Error("a tenant without an answer has a second place")
		}
		first.Cancel()
		first.Cancel()
		w.place(t, "a", 2).Cancel()
		for i := range PlacesPerPermit * 8 / 2 {
			w.place(t, fmt.Sprint(string(rune('A'+i)), 1), 2)
		}
		if w.Reserve("z", 1) != nil {
			t.Error("there are more places than allowed")
		}
	})
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.place(t, "b", 1).Cancel()
		w.slow(11 * time.Second)
		w.place(t, "a", 1).Deliver("a1")
		time.Sleep(9 * time.Second)
		if w.Reserve("a", 1) != nil {
			t.Error("a tenant that hangs has a place")
		}
	})
}

// Together there are never more attempts than permits, and what does not begin in time is released.
func TestPlace_waitsForAPermit(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.slow(time.Second)
		w.mu.Lock()
		w.due = []string{"k1", "l1", "m1"}
		w.mu.Unlock()
		w.Wake()
		time.Sleep(10 * time.Millisecond)
		for i := range 10 {
			w.place(t, fmt.Sprintf("%c1", 'a'+i), 1).Deliver(fmt.Sprintf("%c1", 'a'+i))
		}
		time.Sleep(600 * time.Millisecond)
		w.check(t, "before the first has ended", 0, 5, 5)
		time.Sleep(2 * time.Second)
		w.check(t, "in the end", 8, 5, 13)
		w.mu.Lock()
		if w.most != 8 {
			t.Errorf("%d attempts were made at a time, want 8", w.most)
		}
		for i := range 30 {
			w.due = append(w.due, fmt.Sprintf("%c1", 'A'+i))
		}
		w.mu.Unlock()
		w.place(t, "a1", 1).Cancel() // nobody waits
		w.Wake()
		time.Sleep(100 * time.Millisecond)
		if w.Reserve("a", 1) != nil {
			t.Error("there is a place for a long wait")
		}
		for range 1000 {
			if p := w.Reserve("a", 1); p != nil {
				p.Cancel()
				return
			}
		}
		t.Error("there is never a place again")
	})
}

// What a crash would repeat is bounded: while nothing is settled, no more attempts begin.
func TestPlace_waitsForSettlements(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		const most, n = 2 * UnsettledPerPermit, 3
		hangs := make(chan struct{})
		w.mu.Lock()
		w.hangs = hangs
		w.mu.Unlock()
		if w.Reserve("z", most+1) != nil {
			t.Error("there is a place for a queue that could never begin")
		}
		for i := range 2 * most / n {
			name := fmt.Sprintf("%c1", 'a'+i)
			w.place(t, name, n).Deliver(name)
		}
		w.check(t, "before the first settlement", most/n, 0, 0)
		close(hangs)
		time.Sleep(20 * time.Millisecond)
		w.check(t, "after it", 2*most/n, 0, 2*most/n)
	})
}

// A settlement waits for queues that are written or delivered meanwhile, but not for long.
func TestPlace_gathers(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		_, before := w.made()
		long := w.place(t, "z1", 1)
		for i := range 10 {
			name := fmt.Sprintf("%c1", 'a'+i)
			w.place(t, name, 2).Deliver(name)
			time.Sleep(gatherTime / 5)
		}
		time.Sleep(gathers * gatherTime)
		w.check(t, "while a write takes long", 10, 0, 10)
		if _, settles := w.made(); settles != before+1 {
			t.Errorf("%d settlements were made, want 1", settles-before)
		}
		long.Deliver("z1")
		w.check(t, "at once after the last", 11, 0, 11)
	})
}

// While queues are due that must be claimed, half of the permits are left to them.
func TestPlace_leavesPermitsToClaims(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.slow(10 * time.Millisecond)
		w.mu.Lock()
		for i := range 1000 {
			w.due = append(w.due, fmt.Sprintf("%c%d", 'A'+i%20, i))
		}
		w.mu.Unlock()
		w.Wake()
		ends := time.Now().Add(5 * time.Second)
		var writers sync.WaitGroup
		for i := range 20 {
			writers.Go(func() {
				for name := fmt.Sprintf("%c1", 'a'+i); time.Now().Before(ends); time.Sleep(5 * time.Millisecond) {
					if p := w.Reserve(tenantOf(&name), 1); p != nil {
						p.Deliver(name)
					}
				}
			})
		}
		writers.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.due) > 0 {
			t.Errorf("%d queues were not claimed in 5 s", len(w.due))
		}
	})
}

// A tenant without an answer has one permit, also if a claim finds another queue of it while the first
// is written: otherwise those that hang would take the permits of all.
func TestPlace_waitsForAClaimOfItsTenant(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.place(t, "z1", 1).Deliver("z1") // a tenant that is alone may hold several
		time.Sleep(time.Second)
		w.slow(10 * time.Second)
		hangs := make(chan struct{})
		w.mu.Lock()
		w.claimHangs, w.due = hangs, []string{"a2"}
		w.mu.Unlock()
		w.Wake()
		time.Sleep(100 * time.Millisecond) // the claim has begun
		w.place(t, "a1", 1).Deliver("a1")
		time.Sleep(100 * time.Millisecond)
		close(hangs)
		time.Sleep(time.Second)
		w.mu.Lock()
		if w.sending != 1 {
			t.Errorf("%d attempts of a tenant without an answer are in progress, want 1", w.sending)
		}
		w.claimHangs = nil
		w.mu.Unlock()
		w.check(t, "while one hangs", 1, 1, 2)
	})
}

// What was appended to a queue meanwhile is claimed after its settlement.
func TestPlace_leadsToAClaim(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		w.slow(10 * time.Second)
		w.place(t, "a1", 1).Deliver("a1")
		time.Sleep(time.Second)
		w.Wake()
		time.Sleep(8 * time.Second)
		before, _ := w.made()
		time.Sleep(time.Second + 100*time.Millisecond)
		w.check(t, "after the attempt", 1, 0, 1)
		if claims, _ := w.made(); claims == before {
			t.Error("nothing was claimed after the settlement")
		}
	})
}

// Run ends after the writes in progress, but does not wait for long.
func TestRun_waitsForWrites(t *testing.T) {
	inWorld(t, 8, func(t *testing.T, w *world) {
		soon, late, never := w.place(t, "a1", 1), w.place(t, "b1", 1), w.place(t, "c1", 1)
		time.AfterFunc(writeGrace/2, func() { soon.Deliver("a1") })
		time.AfterFunc(writeGrace*2, func() { late.Deliver("b1") })
		start := time.Now()
		w.stop()
		if took := time.Since(start); took < writeGrace/2 || took > writeGrace+time.Second {
			t.Errorf("Run has taken %v to end", took)
		}
		time.Sleep(3 * writeGrace)
		never.Cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.settled) != 1 || w.settled[0] != "a1" {
			t.Errorf("%v are settled, want a1", w.settled)
		}
	})
}
