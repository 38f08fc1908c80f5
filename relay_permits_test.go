package incident_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// gauge measures how many attempts are in progress at once.
type gauge struct {
	mu        sync.Mutex // guards the fields below
	now, most int
}

// hold keeps an attempt in progress for d.
func (g *gauge) hold(d time.Duration) {
	g.add(1)
	time.Sleep(d)
	g.add(-1)
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// highest returns the highest number of attempts at once.
func (g *gauge) highest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// An organization with slow notifications leaves permits for others.
func TestRelay_leavesPermits(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: 8}}, func(t *testing.T, o *office) {
		var slow gauge
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Incident.OrganizationID == "m" {
				slow.hold(9 * time.Second)
			}
			return nil
		})
		for range 100 {
			o.mustCreate(t, "m")
		}
		time.Sleep(time.Second)
		for range 20 {
			start := time.Now()
			o.mustCreate(t, "a")
			o.mustCreate(t, "z")
			time.Sleep(10 * time.Millisecond)
			o.mu.Lock()
			others := 0
			for _, n := range o.got {
				if n.Incident.OrganizationID != "m" {
					others++
				}
			}
			o.got = nil
			o.mu.Unlock()
			if others != 4 {
				t.Errorf("of four notifications of others %d came within %v", others, time.Since(start))
			}
			time.Sleep(500 * time.Millisecond)
		}
		if most := slow.highest(); most != 6 {
			t.Errorf("one organization takes %d of 8 permits, want 6", most)
		}
	})
}

// An activity that is queued while the previous one is being sent is sent right after it. If
// another process sends the previous one, it is sent soon after.
func TestRelay_sendsTheNextAtOnce(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { time.Sleep(100 * time.Millisecond); return nil })
		key := o.mustCreate(t, "acme")
		time.Sleep(150 * time.Millisecond)
		o.mustComment(t, key)
		time.Sleep(151 * time.Millisecond)
		o.want(t, "acme#1/1", "acme#1/2", "acme#1/3")

		other := &office{store: o.store}
		var err error
		if other.Manager, err = incident.New(o.store, &incident.Options{Notifier: other}); err != nil {
			t.Fatal(err)
		}
		other.start(t)
		defer other.stop()
		synctest.Wait() // until it has made its first claim
		o.mustComment(t, key)
		time.Sleep(50 * time.Millisecond)
		other.mustComment(t, key)
		time.Sleep(200 * time.Millisecond)
		o.want(t, "acme#1/4")
		other.want(t, "acme#1/5")
	})
}

// Notifications that wait for a permit are sent when a permit is free.
func TestRelay_usesAllPermits(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: 8}}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { time.Sleep(100 * time.Millisecond); return nil })
		for range 60 {
			o.mustCreate(t, "acme")
		}
		time.Sleep(2500 * time.Millisecond)
		if got := len(o.take()); got != 120 {
			t.Errorf("in 2.5 s with 6 permits and 100 ms for each, %d came, want all 120", got)
		}
	})
}

// Run ends when the attempts in progress are done, and begins no more.
func TestRelay_stopsGracefully(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: 2}}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { time.Sleep(5 * time.Second); return nil })
		for range 5 {
			o.mustCreate(t, "acme")
		}
		const patience = 100 * time.Millisecond
		time.Sleep(patience) // for both permits to be taken
		start := time.Now()
		o.stop()
		if got, took := len(o.take()), time.Since(start); got != 2 || took > 5*time.Second || took < 5*time.Second-patience {
			t.Errorf("Run ended after %v, when %d were delivered; want 5 s and 2", took, got)
		}
		o.start(t)
		time.Sleep(time.Minute)
		if got := len(o.take()); got != 8 {
			t.Errorf("the next Run has delivered %d, want the other 8", got)
		}
	})
}

// When the grace is over, the attempts in progress are interrupted and released.
func TestRelay_releasesAfterTheGrace(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Grace: time.Second}}, func(t *testing.T, o *office) {
		o.fails(func(ctx context.Context, _ incident.Notification) error { <-ctx.Done(); return ctx.Err() })
		o.mustCreate(t, "acme")
		synctest.Wait()
		start := time.Now()
		o.stop()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Run ended after %v, want 1 s", took)
		}
		o.fails(nil)
		o.start(t)
		synctest.Wait()
		if got := o.all(); len(got) != 2 || got[0].Attempt != 1 {
			t.Errorf("the next Run has delivered %+v, want two at the first attempt", got)
		}
	})
}

// slowOutbox delays each call, and counts the claims.
type slowOutbox struct {
	*memory.Store
	takes  time.Duration
	claims *atomic.Int64
}

func (s slowOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	defer time.Sleep(s.takes)
	s.claims.Add(1)
	return s.Store.Claim(ctx, q)
}

func (s slowOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	defer time.Sleep(s.takes)
	return s.Store.Settle(ctx, all)
}

// Where a single organization has more due than permits, a claim is for several permits.
func TestRelay_claimsForSeveralPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var box postbox
		var claims atomic.Int64
		m, err := incident.New(slowOutbox{memory.New(), time.Millisecond, &claims}, &incident.Options{Notifier: &box})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		for range 500 {
			o.mustCreate(t, "acme")
		}
		o.start(t)
		time.Sleep(time.Second)
		o.stop()
		if got, n := len(box.take()), claims.Load(); got != 1000 || n > 400 {
			t.Errorf("%d of 1000 notifications came within a second, by %d claims", got, n)
		}
	})
}

// Claims that were made while Run was ending are released.
func TestRelay_releasesLateClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var box postbox
		store := memory.New()
		m, err := incident.New(slowOutbox{store, time.Second, new(atomic.Int64)}, &incident.Options{Notifier: &box})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		o.mustCreate(t, "acme")
		o.start(t)
		synctest.Wait()
		o.stop()
		if got := box.take(); len(got) != 0 {
			t.Errorf("%v came after the end of Run", got)
		}
		claims, err := store.Claim(t.Context(), incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Second})
		if err != nil || len(claims) != 1 || claims[0].Attempt != 1 {
			t.Errorf("after it the next claim is %+v, %v, want the first attempt at once", claims, err)
		}
	})
}
