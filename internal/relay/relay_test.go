package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// outbox is a world of queues. Each has a name that begins with its tenant.
type outbox struct {
	mu      sync.Mutex // guards the fields below
	due     []string
	claimed map[string]bool
	sent    []string
	settled []string
	busy    int   // how often Settle finds all claims locked
	fails   error // of each call
	held    int   // claims that are not settled
	most    int
	claims  atomic.Int64
}

func (o *outbox) claim(_ context.Context, q Query) (claims []string, err error) {
	o.claims.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails != nil {
		return nil, o.fails
	}
	slices.Sort(o.due)
	by := map[Tenant]int{}
	for _, name := range o.due {
		t := tenantOf(&name)
		allowed := max(q.Allowances[t], 1)
		if len(claims) < q.Limit && t > q.After && by[t] < allowed && !slices.Contains(q.Except, t) && !o.claimed[name] {
			o.claimed[name] = true
			by[t]++
			claims = append(claims, name)
		}
	}
	o.held += len(claims)
	o.most = max(o.most, o.held)
	return claims, nil
}

func tenantOf(name *string) Tenant { return Tenant((*name)[:1]) }

func (o *outbox) settle(_ context.Context, all []string) (busy []int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails != nil {
		return nil, o.fails
	}
	if o.busy > 0 {
		o.busy--
		for i := range all {
			busy = append(busy, i)
		}
		return busy, nil
	}
	o.held -= len(all)
	o.settled = append(o.settled, all...)
	o.due = slices.DeleteFunc(o.due, func(name string) bool { return slices.Contains(all, name) })
	return nil, nil
}

// inOutbox runs f beside a Relay of an outbox with these queues. Each attempt takes a second.
func inOutbox(t *testing.T, queues []string, f func(t *testing.T, o *outbox, r *Relay[string, string], stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{due: queues, claimed: map[string]bool{}}
		r := New(Config[string, string]{
			Permits: 4, Timeout: 10 * time.Second, PollInterval: time.Minute, Grace: 10 * time.Second,
			Claim: o.claim, Settle: o.settle, Tenant: tenantOf,
			Send: func(s *Sending, name *string, done func(string)) {
				s.Begin()
				select {
				case <-time.After(time.Second):
				case <-s.Context.Done():
				}
				o.mu.Lock()
				o.sent = append(o.sent, *name)
				o.mu.Unlock()
				s.End()
				done(*name)
			},
			Freed: func(name *string) (Tenant, time.Duration) { return tenantOf(name), 0 },
		})
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		f(t, o, r, stop)
		stop()
		run.Wait()
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.held != 0 {
			t.Errorf("after Run %d claims are not settled", o.held)
		}
	})
}

func (o *outbox) check(t *testing.T, when string, sent, settled int) {
	t.Helper()
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.sent) != sent || len(o.settled) != settled {
		t.Errorf("%s %d claims are sent and %d settled, want %d and %d", when, len(o.sent), len(o.settled), sent, settled)
	}
}

// Each queue is sent once, with no more claims at a time than there are permits.
func TestRelay_holdsItsPermits(t *testing.T) {
	inOutbox(t, []string{"a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "d1"}, func(t *testing.T, o *outbox, _ *Relay[string, string], _ func()) {
		time.Sleep(20 * time.Second)
		o.check(t, "in the end", 9, 9)
		if o.most > 4 {
			t.Errorf("%d claims were held, with 4 permits", o.most)
		}
	})
}

func TestRelay_wakes(t *testing.T) {
	inOutbox(t, nil, func(t *testing.T, o *outbox, r *Relay[string, string], _ func()) {
		time.Sleep(10 * time.Second)
		o.mu.Lock()
		o.due = []string{"a1"}
		o.mu.Unlock()
		r.Wake()
		time.Sleep(time.Second)
		o.check(t, "a second after Wake", 1, 1)
	})
}

// A queue that is due later is found at its time, however far that is, and without more claims
// before.
func TestRelay_wakesAtATime(t *testing.T) {
	for name, late := range map[string]time.Duration{"in time": 0, "by a late clock": 15 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inOutbox(t, nil, func(t *testing.T, o *outbox, r *Relay[string, string], _ func()) {
				synctest.Wait()
				const first, second = 10*time.Minute + 123*time.Millisecond, time.Hour
				r.WakeIn(second)
				r.WakeIn(first)
				start := time.Now()
				for i, d := range []time.Duration{first, second} {
					before := o.claims.Load()
					time.Sleep(time.Until(start.Add(d - time.Millisecond)))
					if n := o.claims.Load() - before; n > int64(d/(54*time.Second))+60 {
						t.Errorf("%d claims were made in %v before its time", n, d)
					}
					time.Sleep(time.Millisecond - time.Nanosecond + late)
					o.mu.Lock()
					o.due = []string{[]string{"a1", "b1"}[i]}
					o.mu.Unlock()
					time.Sleep(time.Second + 10*time.Millisecond)
					o.check(t, "a second after its time", i+1, i+1)
				}
			})
		})
	}
}

// Claims that are locked by others are settled later, and hold their permits until then.
func TestRelay_settlesBusyClaimsAgain(t *testing.T) {
	inOutbox(t, []string{"a1", "b1"}, func(t *testing.T, o *outbox, _ *Relay[string, string], _ func()) {
		o.mu.Lock()
		o.busy = 10
		o.mu.Unlock()
		time.Sleep(1050 * time.Millisecond)
		o.check(t, "while they are busy", 2, 0)
		time.Sleep(time.Second)
		o.check(t, "in the end", 2, 2)
	})
}

func TestRelay_waitsForAFailingStore(t *testing.T) {
	inOutbox(t, nil, func(t *testing.T, o *outbox, r *Relay[string, string], _ func()) {
		time.Sleep(10 * time.Second)
		o.mu.Lock()
		o.due, o.fails = []string{"a1"}, errors.New("down")
		o.mu.Unlock()
		r.Wake()
		time.Sleep(10 * time.Second)
		o.check(t, "while the store fails", 0, 0)
		o.mu.Lock()
		o.fails = nil
		o.mu.Unlock()
		time.Sleep(claimPause + time.Second)
		o.check(t, "once it answers", 1, 1)
	})
}

// Run ends when the attempts in progress have, and begins no others.
func TestRelay_finishes(t *testing.T) {
	inOutbox(t, []string{"a1", "b1", "c1", "d1", "e1", "f1"}, func(t *testing.T, o *outbox, _ *Relay[string, string], stop func()) {
		time.Sleep(500 * time.Millisecond)
		stop()
		o.check(t, "half a second after the beginning", 0, 0)
		time.Sleep(10 * time.Second)
		o.mu.Lock()
		defer o.mu.Unlock()
		if n := len(o.settled); n == 0 || n > 4 || len(o.sent) != n {
			t.Errorf("after Run %d claims are sent and %d settled, want those in progress", len(o.sent), n)
		}
	})
}
