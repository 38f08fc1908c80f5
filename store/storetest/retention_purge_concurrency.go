package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Each incident is deleted by a single purge, although several run.
func purgeDeletesOnce(t *trial, s incident.RetentionStore) {
	const n = 60
	for i := range n {
		mustClosed(t, s, acme, at(time.Duration(i)*time.Second), minute(60))
	}
	batches := make([]incident.PurgeBatch, 4)
	t.together(len(batches), func(i int) {
		q := anyDue(acme)
		q.Limit = 7
		var err error
		if batches[i], err = purgeAll(t, s, q); err != nil {
			t.Error(err)
		}
	})
	var all []incident.IncidentVersion
	for _, b := range batches {
		all = append(all, b.Purged...)
	}
	all = append(all, mustPurgeAll(t, s, anyDue(acme)).Purged...) // that others were deleting
	got := identifiersOfVersions(all)
	slices.Sort(got)
	wantEqual(t, "the deleted incidents", got, upTo(n))
}

// racers is the number of goroutines that write while others delete.
const racers = 4

// Of the writes that run beside a purge, each succeeds before it or returns ErrNotFound. Nothing
// of the incidents remains.
func purgeExcludesWriters(t *trial, s incident.RetentionStore) {
	const n = 12
	var worlds []world
	for range n {
		st := mustRemains(t, s, acme)
		worlds = append(worlds, world{state: st, comment: mustActivity(t, s, st.Incident.Key(), 3)})
	}
	var over atomic.Bool
	t.together(racers+1, func(i int) {
		if i == racers {
			defer over.Store(true)
			time.Sleep(2 * time.Millisecond)
			q := anyDue(acme)
			q.Limit = 2
			if err := purgeUntilGone(t, s, q, n); err != nil {
				t.Error(err)
			}
			return
		}
		for last := false; !last; {
			last = over.Load()
			for _, w := range worlds {
				for _, op := range racingWrites() {
					if _, err := op.do(t.Context(), s, w); err != nil && !errors.Is(err, incident.ErrNotFound) {
						t.Errorf("%s beside Purge() = %v, want no error or ErrNotFound", op.name, err)
					} else if last && err == nil {
						t.Errorf("%s after Purge() = nil, want ErrNotFound", op.name)
					}
				}
			}
		}
	})
	for _, w := range worlds {
		wantGone(t, s, w.state)
	}
	if got := mustCreate(t, s, draft(acme)).Incident.Identifier; got != n+1 {
		t.Errorf("the next incident has identifier %d, want %d", got, n+1)
	}
}

// racingWrites returns writes that leave a closed incident closed, and that can be repeated.
func racingWrites() []operation {
	return []operation{
		{"Apply of a comment", applyComment},
		{"Apply of a change", func(ctx context.Context, s incident.Store, w world) (any, error) {
			st, err := s.Load(ctx, w.key())
			if err != nil {
				return nil, err
			}
			applied, err := s.Apply(ctx, retitling(st, "Newer"))
			if errors.Is(err, incident.ErrVersionConflict) {
				err = nil
			}
			return applied, err
		}},
		{"MarkSeen", markSeen},
		{"Subscribe", subscribe},
		{"Unsubscribe", unsubscribe},
	}
}

// purgeUntilGone repeats a purge, which may hold back incidents that others are changing, until it
// has deleted n incidents.
func purgeUntilGone(t *trial, s incident.RetentionStore, q incident.PurgeQuery, n int) error {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		b, err := purgeAll(t, s, q)
		n -= len(b.Purged)
		switch {
		case err != nil:
			return err
		case n == 0:
			return nil
		case n < 0:
			return errors.New("Purge() deletes an incident twice")
		case time.Since(start) > t.patience:
			return errors.New("Purge() leaves due incidents that nobody holds for long")
		}
	}
}

// raceWithPurge purges n incidents in order, two at a time, while others call write with the indexes
// of the incidents that are next. It calls write at most once with an index. The first call comes
// before the purge.
func raceWithPurge(t *trial, s incident.RetentionStore, n int, write func(i int)) (all incident.PurgeBatch) {
	t.Helper()
	var visited, written atomic.Int64
	var over atomic.Bool
	taken := make([]atomic.Bool, n)
	t.together(racers+1, func(i int) {
		if i < racers {
			for !over.Load() {
				if i := int(visited.Load()) + rand.N(5); i < n && !taken[i].Swap(true) {
					write(i)
					written.Add(1)
				} else {
					time.Sleep(rand.N(200 * time.Microsecond))
				}
			}
			return
		}
		defer over.Store(true)
		for start := time.Now(); written.Load() == 0 && time.Since(start) < t.patience; {
			time.Sleep(100 * time.Microsecond)
		}
		q := anyDue(acme)
		q.Limit = 2
		for next := true; next; {
			b, err := s.Purge(t.Context(), q)
			if err != nil {
				t.Errorf("Purge() beside writers = %v, want no error", err)
				return
			}
			visited.Add(int64(len(b.Purged) + b.Held))
			all.Purged, all.Held = append(all.Purged, b.Purged...), all.Held+b.Held
			q.After, next = b.Next, b.Next != nil
			time.Sleep(rand.N(200 * time.Microsecond))
		}
	})
	return all
}

// An incident that was reopened beside a purge is not deleted. A purge that comes first makes the
// reopening return ErrNotFound.
func purgeSparesTheReopened(t *trial, s incident.RetentionStore) {
	const n = 40
	var all []incident.State
	for i := range n {
		all = append(all, mustClosed(t, s, acme, at(time.Duration(i)*time.Second), minute(60)))
	}
	var reopened [n]bool
	purged := raceWithPurge(t, s, n, func(i int) {
		_, err := s.Apply(t.Context(), transition(all[i], incident.StatusOpen))
		if reopened[i] = err == nil; err != nil && !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("Apply() beside Purge() = %v, want no error or ErrNotFound", err)
		}
	})
	deleted := identifiersOfVersions(purged.Purged)
	for i, st := range all {
		_, err := s.Load(t.Context(), st.Incident.Key())
		gone := slices.Contains(deleted, st.Incident.Identifier)
		if reopened[i] && gone || errors.Is(err, incident.ErrNotFound) != gone {
			t.Errorf("%s was reopened: %v, purged: %v; Load() = %v", st.Incident.Key(), reopened[i], gone, err)
		}
	}
}
