package incident_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// One process makes each pass. Another one continues after the process has ended.
func TestRetention_oneProcessAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		opts := incident.Options{Retention: incident.Retention{Keep: 2 * day}}
		js := []*janitor{newJanitor(t, store, opts), newJanitor(t, store, opts), newJanitor(t, store, opts)}
		passes := func() (n uint64) {
			for _, j := range js {
				n += j.Stats().Retention.Passes
			}
			return n
		}
		time.Sleep(10*time.Hour + time.Minute)
		if n := passes(); n != 11 {
			t.Errorf("%d passes in ten hours, want 11", n)
		}
		for i, j := range js {
			j.mustStop(t)
			time.Sleep(2 * time.Hour)
			if n := passes(); i < 2 && n < 12+uint64(i) {
				t.Errorf("%d passes: no other process has continued", n)
			}
		}
	})
}

// A process that dies during a pass holds up the others for a minute.
func TestRetention_takesOverADeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		if _, err := store.Lease(t.Context(), "retention", "dead", time.Minute); err != nil {
			t.Fatal(err)
		}
		j := newJanitor(t, store, incident.Options{Retention: incident.Retention{Keep: 2 * day}})
		defer j.mustStop(t)
		time.Sleep(59 * time.Second)
		if n := j.Stats().Retention.Passes; n != 0 {
			t.Errorf("%d passes during the lease of another process", n)
		}
		time.Sleep(2 * time.Second)
		if n := j.Stats().Retention.Passes; n != 1 {
			t.Errorf("%d passes after the lease of the dead process, want 1", n)
		}
	})
}

// The lease is renewed during a long pass.
func TestRetention_renewsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{Store: memory.New()}
		m, err := incident.New(p.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, m, "acme", 100)
		time.Sleep(2 * time.Hour)
		batches := 0
		p.before = func(method string) error {
			if method != "Purge" {
				return nil
			}
			batches++
			if l, err := deletes(p.Store).Lease(t.Context(), "retention", "other", time.Hour); err != nil || l.Wait <= 8*time.Second {
				t.Errorf("the lease of batch %d ends in %v, %v, before the batch may end", batches, l.Wait, err)
			}
			time.Sleep(8 * time.Second)
			return nil
		}
		j := newJanitor(t, p, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
		defer j.mustStop(t)
		time.Sleep(30 * time.Minute)
		if s := j.Stats().Retention; s.Passes != 1 || s.Purged != 100 || batches < 10 {
			t.Errorf("Stats().Retention = %+v after %d batches, want one long pass", s, batches)
		}
	})
}

// A pass ends once another process has the lease.
func TestRetention_endsAPassWithoutTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &lostLease{probe: &probe{Store: memory.New()}}
		m, err := incident.New(s.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, m, "acme", 40)
		time.Sleep(2 * time.Hour)
		j := newJanitor(t, s, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
		defer j.mustStop(t)
		time.Sleep(30 * time.Minute)
		if s := j.Stats().Retention; s.Passes != 0 || s.Purged != 10 {
			t.Errorf("Stats().Retention = %+v, want a pass that ends after its first batch", s)
		}
		time.Sleep(time.Hour)
		if s := j.Stats().Retention; s.Passes != 1 || s.Purged != 40 {
			t.Errorf("Stats().Retention = %+v, want a pass after the lease of the other process", s)
		}
	})
}

// lostLease is a store whose first batch outlasts the lease, which another process then takes for an
// hour.
type lostLease struct {
	*probe
	once sync.Once
}

func (s *lostLease) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := s.probe.Purge(ctx, q)
	s.once.Do(func() {
		time.Sleep(2 * time.Minute)
		_, _ = s.probe.Lease(context.WithoutCancel(ctx), "retention", "other", time.Hour)
	})
	return b, err
}
