package incident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

const day = 24 * time.Hour

// janitor is a process that deletes by Options.Retention.
type janitor struct {
	incident.Manager
	log  lockedBuffer
	stop func() error
}

// lockedBuffer is a buffer that is read while Run writes to it.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// newJanitor returns a running janitor of a store.
func newJanitor(t *testing.T, s incident.Store, opts incident.Options) *janitor {
	t.Helper()
	j := &janitor{}
	opts.Logger = slog.New(slog.NewTextHandler(&j.log, nil))
	var err error
	if j.Manager, err = incident.New(s, &opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	j.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	synctest.Wait()
	return j
}

func (j *janitor) mustStop(t *testing.T) {
	t.Helper()
	if err := j.stop(); err != nil {
		t.Errorf("Run() = %v when its context ends, want nil", err)
	}
}

// mustCloseMany creates closed incidents in an organization.
func mustCloseMany(t *testing.T, m incident.Manager, org incident.OrganizationID, n int) {
	t.Helper()
	for range n {
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "x"})
		if err == nil {
			_, err = m.UpdateStatus(t.Context(), inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func wantIncidents(t *testing.T, m incident.Manager, org incident.OrganizationID, when string, want int) {
	t.Helper()
	page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
	if err != nil || len(page.Incidents) != want {
		t.Errorf("%s %q has %d incidents, %v, want %d", when, org, len(page.Incidents), err, want)
	}
}

// An incident is deleted between Keep and Keep and Interval after it was closed.
func TestRetention_deletesAfterKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJanitor(t, memory.New(), incident.Options{Retention: incident.Retention{Keep: 2 * day}})
		defer j.mustStop(t)
		mustCloseMany(t, j, "acme", 150)
		if _, err := j.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "active"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*day - time.Minute)
		mustCloseMany(t, j, "globex", 2)
		wantIncidents(t, j, "acme", "before", 100)
		time.Sleep(incident.DefaultRetentionInterval + 2*time.Minute)
		wantIncidents(t, j, "acme", "after", 1)
		wantIncidents(t, j, "globex", "after", 2)
		s := j.Stats().Retention
		if s.Purged != 150 || s.Held != 0 || s.Passes < 2*24 || s.PassAge > incident.DefaultRetentionInterval {
			t.Errorf("Stats().Retention = %+v, want 150 purged incidents and a pass each hour", s)
		}
	})
}

func TestRetention_keepsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := map[incident.OrganizationID]time.Duration{"free": day, "paid": 0, "wrong": time.Minute, "negative": -1}
		j := newJanitor(t, memory.New(), incident.Options{Retention: incident.Retention{
			Keep: incident.MinRetention, KeepFor: func(org incident.OrganizationID) time.Duration { return plans[org] },
		}})
		defer j.mustStop(t)
		for org := range plans {
			mustCloseMany(t, j, org, 1)
		}
		time.Sleep(2 * day)
		for org := range plans {
			want := 1
			if org == "free" {
				want = 0
			}
			wantIncidents(t, j, org, "after two days", want)
		}
		for _, org := range []string{"wrong", "negative"} {
			if n := strings.Count(j.log.String(), "organization="+org); n != 1 {
				t.Errorf("the answer for %s is logged %d times, want once: %s", org, n, &j.log)
			}
		}
	})
}

// A panic of KeepFor ends Run, as a panic of a handler of the Logger does.
func TestRetention_keepForPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		m, err := incident.New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, m, "acme", 1)
		j := newJanitor(t, store, incident.Options{Retention: incident.Retention{
			KeepFor: func(incident.OrganizationID) time.Duration { panic("no plan") },
		}})
		time.Sleep(time.Second)
		if err := j.stop(); !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "no plan") {
			t.Errorf("Run() = %v, want ErrUnavailable and the panic", err)
		}
	})
}

// Neither a fast clock of the process nor a fast clock of the store deletes anything early.
func TestRetention_usesTheEarlierClock(t *testing.T) {
	for name, ahead := range map[string]struct{ process, store time.Duration }{
		"process": {process: 365 * day}, "store": {store: 365 * day},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &clockStore{probe: &probe{Store: memory.New()}, ahead: ahead.store}
				m, err := incident.New(p.Store, nil)
				if err != nil {
					t.Fatal(err)
				}
				mustCloseMany(t, m, "acme", 1)
				j := newJanitor(t, p, incident.Options{
					Now:       func() time.Time { return time.Now().Add(ahead.process) },
					Retention: incident.Retention{Keep: 2 * day},
				})
				defer j.mustStop(t)
				time.Sleep(47 * time.Hour)
				wantIncidents(t, m, "acme", "early", 1)
				time.Sleep(2 * day)
				wantIncidents(t, m, "acme", "late", 0)
			})
		})
	}
}

// clockStore is a store whose clock is ahead.
type clockStore struct {
	*probe
	ahead time.Duration
}

func (s *clockStore) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	l, err := s.probe.Lease(ctx, task, holder, d)
	l.Now = l.Now.Add(s.ahead)
	return l, err
}

// A store that fails is logged once, and the pass continues when it is back.
func TestRetention_survivesAnOutage(t *testing.T) {
	for _, failing := range []string{"Lease", "Organizations", "Purge", "a panic"} {
		t.Run(failing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &probe{Store: memory.New()}
				m, err := incident.New(p.Store, nil)
				if err != nil {
					t.Fatal(err)
				}
				mustCloseMany(t, m, "acme", 1)
				time.Sleep(2 * time.Hour)
				var calls atomic.Int64
				var back atomic.Bool
				p.before = func(method string) error {
					switch {
					case back.Load():
					case method == failing:
						calls.Add(1)
						return fmt.Errorf("%w: no connection", incident.ErrUnavailable)
					case method == "Purge" && failing == "a panic":
						calls.Add(1)
						panic("no connection")
					}
					return nil
				}
				j := newJanitor(t, p, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
				defer j.mustStop(t)
				time.Sleep(10 * time.Minute)
				if n := strings.Count(j.log.String(), "no connection"); n != 1 || calls.Load() > 300 {
					t.Errorf("an outage is logged %d times after %d calls, want once: %s", n, calls.Load(), &j.log)
				}
				back.Store(true)
				time.Sleep(2 * time.Hour)
				wantIncidents(t, m, "acme", "after the outage", 0)
				if !strings.Contains(j.log.String(), "the store is back") {
					t.Errorf("the recovery is not logged: %s", &j.log)
				}
			})
		})
	}
}

// An organization whose incidents cannot be deleted does not keep the others from their turn.
func TestRetention_goesByAFailingOrganization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &failingFor{probe: &probe{Store: memory.New()}, org: "acme"}
		m, err := incident.New(p.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, m, "acme", 1)
		mustCloseMany(t, m, "globex", 1)
		time.Sleep(2 * time.Hour)
		j := newJanitor(t, p, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
		defer j.mustStop(t)
		time.Sleep(time.Minute)
		wantIncidents(t, m, "acme", "after a pass", 1)
		wantIncidents(t, m, "globex", "after a pass", 0)
	})
}

type failingFor struct {
	*probe
	org incident.OrganizationID
}

func (s *failingFor) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	if q.OrganizationID == s.org {
		return incident.PurgeBatch{}, incident.ErrUnavailable
	}
	return s.probe.Purge(ctx, q)
}

// Run ends at once, but not in the middle of a batch.
func TestRetention_endsWithRun(t *testing.T) {
	for name, c := range map[string]struct {
		takes, want time.Duration
		left        int
	}{
		"short batch": {500 * time.Millisecond, 500 * time.Millisecond, 0},
		"long batch":  {time.Hour, time.Second, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowPurge{probe: &probe{Store: memory.New()}, takes: c.takes}
				m, err := incident.New(s.Store, nil)
				if err != nil {
					t.Fatal(err)
				}
				mustCloseMany(t, m, "acme", 3)
				time.Sleep(2 * time.Hour)
				j := newJanitor(t, s, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
				began := time.Now()
				j.mustStop(t)
				if took := time.Since(began); took != c.want {
					t.Errorf("Run() ended after %v, want %v", took, c.want)
				}
				wantIncidents(t, m, "acme", "at the end", c.left)
			})
		})
	}
}

// slowPurge is a store whose deletions take a time, unless their context ends.
type slowPurge struct {
	*probe
	takes time.Duration
}

func (s *slowPurge) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	select {
	case <-time.After(s.takes):
		return s.probe.Purge(ctx, q)
	case <-ctx.Done():
		return incident.PurgeBatch{}, ctx.Err()
	}
}

// A pass counts the incidents that it holds back, and deletes those after them.
func TestRetention_countsHeldIncidents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		loud, err := incident.New(store, &incident.Options{Notifier: incident.NotifyElsewhere})
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, loud, "acme", 30)
		quiet, err := incident.New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, quiet, "acme", 5)
		time.Sleep(2 * time.Hour)
		j := newJanitor(t, store, incident.Options{Retention: incident.Retention{Keep: incident.MinRetention}})
		defer j.mustStop(t)
		time.Sleep(time.Minute)
		wantIncidents(t, quiet, "acme", "after a pass", 30)
		s := j.Stats().Retention
		if s.PassAge = s.PassAge.Round(time.Minute); s != (incident.RetentionStats{Purged: 5, Passes: 1, Held: 30, PassAge: time.Minute}) {
			t.Errorf("Stats().Retention = %+v", s)
		}
	})
}

// Batches take about 20 ms, and use a fifth of the time.
func TestRetention_leavesTheStoreToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &weighedPurge{probe: &probe{Store: memory.New()}}
		m, err := incident.New(s.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCloseMany(t, m, "acme", 1000)
		time.Sleep(2 * time.Hour)
		began := time.Now()
		if _, err := func() (incident.Purged, error) {
			m, err := incident.New(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			return m.Purge(t.Context(), incident.Purge{OrganizationID: "acme", ClosedBefore: time.Now()})
		}(); err != nil {
			t.Fatal(err)
		}
		took, busy := time.Since(began), time.Duration(0)
		for _, b := range s.batches {
			busy += b
		}
		if longest := slices.Max(s.batches); longest > 25*time.Millisecond || busy*5 > took+200*time.Millisecond {
			t.Errorf("the longest batch took %v, all %v of %v", longest, busy, took)
		}
	})
}

// weighedPurge is a store that needs a millisecond for each deletion.
type weighedPurge struct {
	*probe
	batches []time.Duration
}

func (s *weighedPurge) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := s.probe.Purge(ctx, q)
	took := time.Duration(len(b.Purged)) * time.Millisecond
	time.Sleep(took)
	s.batches = append(s.batches, took)
	return b, err
}
