package incident_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// reference returns a Manager of the store of a probe, without faults and without a cache.
func reference(t *testing.T, p *probe) incident.Manager {
	t.Helper()
	m, err := incident.New(p.Store, &incident.Options{Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantSame checks that a Manager gives the answers of the store, however often it is asked.
func wantSame(t *testing.T, m, want incident.Manager) {
	t.Helper()
	for range 3 {
		for _, s := range []incident.Slot{slot, in(slot, "search")} {
			inc1, ok1, err1 := m.Active(t.Context(), s)
			inc2, ok2, err2 := want.Active(t.Context(), s)
			if ok1 != ok2 || inc1.Version != inc2.Version || inc1.Identifier != inc2.Identifier || err1 != nil || err2 != nil {
				t.Errorf("the slot of %q holds %s at version %d, %t, %v; the store says %s at version %d, %t, %v",
					s.ProjectID, inc1.Key(), inc1.Version, ok1, err1, inc2.Key(), inc2.Version, ok2, err2)
			}
		}
		inc1, err1 := m.Get(t.Context(), key)
		inc2, err2 := want.Get(t.Context(), key)
		if inc1.Version != inc2.Version || inc1.Status != inc2.Status || (err1 == nil) != (err2 == nil) {
			t.Errorf("Get has version %d, %s, %v; the store version %d, %s, %v",
				inc1.Version, inc1.Status, err1, inc2.Version, inc2.Status, err2)
		}
	}
}

func in(s incident.Slot, project incident.ProjectID) incident.Slot {
	s.ProjectID = project
	return s
}

// slotWrites are writes of every kind that claim or release slots, each with its preparation.
var slotWrites = []struct {
	name         string
	before, call func(ctx context.Context, m incident.Manager) error
}{
	{"Fire that opens", nothing, fires(slot)},
	{"Create", nothing, func(ctx context.Context, m incident.Manager) error {
		return only(m.Create(ctx, incident.NewIncident{
			OrganizationID: "acme", Title: "x", AlertRuleID: slot.AlertRuleID, QueryID: slot.QueryID,
			Projects: []incident.ProjectID{slot.ProjectID, "search"},
		}))
	}},
	{"closing", fires(slot), updates(incident.StatusClosed)},
	{"reopening", closed, updates(incident.StatusWarning)},
	{"raising", fires(slot), updates(incident.StatusCritical)},
	{"linking", fires(slot), func(ctx context.Context, m incident.Manager) error { return only(m.LinkProject(ctx, key, "search")) }},
	{"unlinking", func(ctx context.Context, m incident.Manager) error {
		return errors.Join(fires(slot)(ctx, m), only(m.LinkProject(ctx, key, "search")))
	}, func(ctx context.Context, m incident.Manager) error { return only(m.UnlinkProject(ctx, key, "search")) }},
	{"Resolve", fires(slot), func(ctx context.Context, m incident.Manager) error {
		return only(m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "5%"}))
	}},
}

func nothing(context.Context, incident.Manager) error { return nil }

func fires(s incident.Slot) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		return only(m.Fire(ctx, incident.Firing{Slot: s, TriggerID: "5%", Severity: incident.StatusWarning, Title: "x"}))
	}
}

func updates(to incident.Status) func(context.Context, incident.Manager) error {
	return func(ctx context.Context, m incident.Manager) error {
		return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: to}))
	}
}

func closed(ctx context.Context, m incident.Manager) error {
	return errors.Join(fires(slot)(ctx, m), updates(incident.StatusClosed)(ctx, m))
}

// lateStore is a store whose writes are made when release is called, long after their callers
// got an unknown outcome. It may also leave something out of its answers.
type lateStore struct {
	incident.Store
	late   bool // writes wait for release
	silent bool // writes are acknowledged without the versions of their slots
	queue  []incident.Change
}

func (s *lateStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if s.late {
		s.queue = append(s.queue, c)
		return incident.Applied{}, incident.ErrUnknownOutcome
	}
	applied, err := s.Store.Apply(ctx, c)
	if s.silent {
		applied.Slots = nil
	}
	return applied, err
}

// InTx makes the writes of a transaction late, too.
func (s *lateStore) InTx(ctx context.Context, fn func(incident.Store) error) error {
	unknown := s.late
	s.late = false
	err := s.Store.InTx(ctx, func(tx incident.Store) error {
		return fn(&recordingStore{tx, &s.queue})
	})
	if s.late = unknown; unknown && err == nil {
		return incident.ErrUnknownOutcome
	}
	s.queue = nil
	return err
}

type recordingStore struct {
	incident.Store
	queue *[]incident.Change
}

func (s *recordingStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := s.Store.Apply(ctx, c)
	*s.queue = append(*s.queue, c)
	return applied, err
}

// release makes the waiting writes.
func (s *lateStore) release(t *testing.T) {
	t.Helper()
	for _, c := range s.queue {
		if _, err := s.Store.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	s.queue = nil
}

// newLate returns a Manager of a lateStore with a cache, after a call.
func newLate(t *testing.T, before func(context.Context, incident.Manager) error, cache incident.Cache) (incident.Manager, *lateStore) {
	t.Helper()
	s := &lateStore{Store: memory.New()}
	m, err := incident.New(&probe{Store: s}, &incident.Options{Cache: cache})
	if err == nil {
		err = before(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

// read reads everything through the cache.
func read(t *testing.T, m incident.Manager) {
	t.Helper()
	for range 2 {
		_, err1 := m.Get(t.Context(), key)
		_, _, err2 := m.Active(t.Context(), slot)
		_, _, err3 := m.Active(t.Context(), in(slot, "search"))
		if err1 != nil && !errors.Is(err1, incident.ErrNotFound) || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
	}
}

// When the lost reply of a write was recovered, the versions of its slots are still unknown. The
// cache then forgets the slots.
func TestDoubt_forgetsSlotsOfARecoveredReply(t *testing.T) {
	for _, w := range slotWrites {
		t.Run(w.name, func(t *testing.T) {
			m, s := newLate(t, w.before, incident.NewCache(100))
			read(t, m)
			s.silent = true
			if err := w.call(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			wantSame(t, m, reference(t, &probe{Store: s.Store}))
		})
	}
}

// A write of unknown outcome may be committed at any later time. No older version is served
// after that, whatever was read before, and whatever the cache has dropped meanwhile.
func TestDoubt_outlastsALateCommit(t *testing.T) {
	for _, w := range slotWrites {
		for name, cache := range map[string]func() incident.Cache{
			"roomy":  func() incident.Cache { return incident.NewCache(100) },
			"small":  func() incident.Cache { return incident.NewCache(1) },
			"remote": func() incident.Cache { return &encodingCache{entries: map[string][]byte{}} },
		} {
			for _, after := range []time.Duration{0, 1500 * time.Millisecond, 30 * time.Minute} {
				t.Run(w.name+", "+name+", "+after.String(), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m, s := newLate(t, w.before, cache())
						read(t, m)
						s.late = true
						if err := w.call(t.Context(), m); !errors.Is(err, incident.ErrUnknownOutcome) {
							t.Fatalf("the call = %v, want ErrUnknownOutcome", err)
						}
						s.late = false
						read(t, m)
						time.Sleep(after)
						read(t, m)
						s.release(t)
						wantSame(t, m, reference(t, &probe{Store: s.Store}))
						time.Sleep(2 * time.Minute)
						read(t, m)
						wantCached(t, m)
					})
				})
			}
		}
	}
}

// wantCached checks that reads come from the cache, if it has room.
func wantCached(t *testing.T, m incident.Manager) {
	t.Helper()
	before := m.Stats()
	if _, _, err := m.Active(t.Context(), slot); err != nil {
		t.Fatal(err)
	}
	if now := m.Stats(); now.CacheHits == before.CacheHits && now.CacheMisses > before.CacheMisses {
		// A cache with room for one entry has none of this.
		if _, err := m.Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		before = m.Stats()
		if _, err := m.Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if m.Stats().CacheHits == before.CacheHits {
			t.Error("the cache is not used again after the doubt was settled")
		}
	}
}

// A transaction that may be committed later is in doubt, as any write is.
func TestDoubt_outlastsALateTransaction(t *testing.T) {
	for _, w := range slotWrites {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := newLate(t, w.before, incident.NewCache(100))
				read(t, m)
				s.late = true
				inTx := func(ctx context.Context) error {
					return m.InTx(ctx, func(tx incident.Manager) error { return w.call(ctx, tx) })
				}
				if err := inTx(t.Context()); !errors.Is(err, incident.ErrUnknownOutcome) {
					t.Fatalf("InTx = %v, want ErrUnknownOutcome", err)
				}
				s.late = false
				wantSame(t, m, reference(t, &probe{Store: s.Store}))
				time.Sleep(2 * time.Hour)
				wantSame(t, m, reference(t, &probe{Store: s.Store}))
			})
		})
	}
}

// A claim of unknown outcome can follow other claims and releases of the same slot.
func TestDoubt_outlastsOtherClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newLate(t, nothing, incident.NewCache(100))
		read(t, m)
		s.late = true
		if err := fires(slot)(t.Context(), m); !errors.Is(err, incident.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		s.late = false
		time.Sleep(2 * time.Second)
		if err := closed(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		read(t, m)
		s.release(t)
		wantSame(t, m, reference(t, &probe{Store: s.Store}))
	})
}

// A version that was read from a store without a feed keeps older versions out of the cache,
// however it was read.
func TestObserve_keepsOlderVersionsOut(t *testing.T) {
	reads := map[string]func(context.Context, incident.Manager) error{
		"Details": func(ctx context.Context, m incident.Manager) error { return only(m.Details(ctx, key, "ada")) },
		"List": func(ctx context.Context, m incident.Manager) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"}))
		},
		"Activities": func(ctx context.Context, m incident.Manager) error {
			return only(m.Activities(ctx, key, incident.ActivityFilter{}))
		},
		"UpdateStatus that changes nothing": updates(incident.StatusCritical),
		"Fire that changes nothing": func(ctx context.Context, m incident.Manager) error {
			return only(m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "20%", Severity: incident.StatusCritical, Title: "x"}))
		},
		"a transaction's Details": func(ctx context.Context, m incident.Manager) error {
			return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Details(ctx, key, "ada")) })
		},
		"a refused UpdateStatus": func(ctx context.Context, m incident.Manager) error {
			_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen, ExpectVersion: 1})
			if !errors.Is(err, incident.ErrVersionConflict) {
				return errors.Join(err, errors.New("a version that is gone was accepted"))
			}
			return nil
		},
	}
	stores := map[string]func() incident.Store{
		"local":  func() incident.Store { return memory.New() },
		"remote": func() incident.Store { return &probe{Store: memory.New()} },
	}
	for kind, newStore := range stores {
		for name, read := range reads {
			t.Run(kind+", "+name, func(t *testing.T) {
				s := newStore()
				ms := [2]incident.Manager{}
				for i := range ms {
					var err error
					if ms[i], err = incident.New(s, nil); err != nil {
						t.Fatal(err)
					}
				}
				mustFire(t, ms[0], "5%", incident.StatusWarning)
				mustGet(t, ms[1])
				mustFire(t, ms[0], "20%", incident.StatusCritical)
				if mustGet(t, ms[1]).Version != 1 {
					t.Fatal("the test shows nothing: the caches follow each other")
				}
				if err := read(t.Context(), ms[1]); err != nil {
					t.Fatal(err)
				}
				if got := mustGet(t, ms[1]); got.Version != 2 {
					t.Errorf("after version 2 was read the cache serves version %d", got.Version)
				}
			})
		}
	}
}
