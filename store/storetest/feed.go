package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// RunFeed runs the cases of [incident.FeedStore], as [Run] does those of the rest.
func RunFeed(t *testing.T, newStore func(t *testing.T) incident.FeedStore) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t testing.TB, s incident.FeedStore)
	}{
		{"BeginsNow", feedBeginsNow},
		{"TellsEachChange", feedTellsEachChange},
		{"TellsLateCommits", feedTellsLateCommits},
		{"TellsAllUnderConcurrency", feedTellsAllUnderConcurrency},
		{"ObeysTheContext", feedObeysTheContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, newStore(t))
		})
	}
}

// follower is a reader of a feed, with the latest versions that it was told.
type follower struct {
	store     incident.FeedStore
	position  incident.FeedPosition
	incidents map[incident.Key]int64
	slots     map[incident.Slot]int64
}

func mustFollowFeed(t testing.TB, s incident.FeedStore) *follower {
	t.Helper()
	f := &follower{store: s, incidents: map[incident.Key]int64{}, slots: map[incident.Slot]int64{}}
	f.mustCatchUp(t)
	return f
}

func (f *follower) mustCatchUp(t testing.TB) {
	t.Helper()
	changes, err := f.store.Changes(t.Context(), f.position)
	if err != nil {
		t.Fatalf("Changes() = %v, want no error", err)
	}
	if changes.Position == "" {
		t.Fatal("Changes() returns no position")
	}
	f.position = changes.Position
	for _, v := range changes.Incidents {
		f.incidents[v.Key] = max(f.incidents[v.Key], v.Version)
	}
	for _, v := range changes.Slots {
		f.slots[v.Slot] = max(f.slots[v.Slot], v.Version)
	}
}

// wantTold checks that the follower knows the version of an incident and of the
// slots.
func (f *follower) wantTold(t testing.TB, key incident.Key, slots ...incident.Slot) {
	t.Helper()
	if got, want := f.incidents[key], mustLoad(t, f.store, key).Incident.Version; got != want {
		t.Errorf("the feed has told version %d of %s, want %d", got, key, want)
	}
	for _, slot := range slots {
		if got, want := f.slots[slot], mustLoadSlot(t, f.store, slot).Version; got != want {
			t.Errorf("the feed has told version %d of slot %v, want %d", got, slot, want)
		}
	}
}

func feedBeginsNow(t testing.TB, s incident.FeedStore) {
	before := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f := mustFollowFeed(t, s)
	if len(f.incidents)+len(f.slots) > 0 {
		t.Errorf("a feed that begins tells of %v and %v, want nothing", f.incidents, f.slots)
	}
	after := mustCreate(t, s, draft(acme)).Incident.Key()
	f.mustCatchUp(t)
	f.wantTold(t, after)
	if f.incidents[before] != 0 {
		t.Errorf("the feed tells of %s, which was there before it began", before)
	}
}

// Whatever changes an incident's version is told, and so are slots: in all
// organizations.
func feedTellsEachChange(t testing.TB, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		st := mustCreate(t, s, ruled(org, api, db), firing(critical))
		f.mustCatchUp(t)
		f.wantTold(t, st.Incident.Key(), slotOf(org, api), slotOf(org, db))
		for _, change := range []func(incident.State) incident.Change{
			func(st incident.State) incident.Change { return retitling(st, "Newer") },
			func(st incident.State) incident.Change { return reprojecting(st, api, web) },
			func(st incident.State) incident.Change { return transition(st, incident.StatusClosed) },
		} {
			st = mustChange(t, s, change(st))
			f.mustCatchUp(t)
			f.wantTold(t, st.Incident.Key(), slotOf(org, api), slotOf(org, db), slotOf(org, web))
		}
	}
}

// A transaction that began before others is told when it commits, although they have
// been told by then.
func feedTellsLateCommits(t testing.TB, s incident.FeedStore) {
	st := mustCreate(t, s, ruled(acme, api))
	f := mustFollowFeed(t, s)
	var opened incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		applied, err := tx.Apply(t.Context(), retitling(st, "Late"))
		if err == nil {
			applied, err = tx.Apply(t.Context(), creation(ruled(acme, db)))
			opened = applied.Incident.Key()
		}
		if err != nil {
			return err
		}
		for range 3 {
			// A store may make it wait: then nothing can overtake the transaction.
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := s.Apply(ctx, creation(draft(umbrella)))
			if err == nil {
				var changes incident.FeedChanges
				if changes, err = s.Changes(ctx, f.position); err == nil {
					f.position = changes.Position
				}
			}
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, incident.ErrUnavailable) {
				return err
			}
		}
		return nil
	})
	f.mustCatchUp(t)
	f.wantTold(t, st.Incident.Key())
	f.wantTold(t, opened, slotOf(acme, db))
}

// However commits fall between the calls, none is missed.
func feedTellsAllUnderConcurrency(t testing.TB, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	const writers, rounds = 8, 25
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				org := incident.OrganizationID(fmt.Sprint("org-", w))
				for i := range rounds {
					_ = s.InTx(t.Context(), func(tx incident.Store) error {
						applied, err := tx.Apply(t.Context(), creation(ruled(org, incident.ProjectID(fmt.Sprint("project-", i)))))
						if err != nil {
							t.Errorf("Apply() = %v, want no error", err)
							return err
						}
						if i%2 == 0 {
							st, err := tx.Load(t.Context(), applied.Incident.Key())
							if err == nil {
								_, err = tx.Apply(t.Context(), transition(st, incident.StatusClosed))
							}
							if err != nil {
								t.Errorf("closing = %v, want no error", err)
							}
						}
						time.Sleep(rand.N(3 * time.Millisecond))
						return nil
					})
				}
			})
		}
		all.Wait()
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		f.mustCatchUp(t)
	}
	for w := range writers {
		org := incident.OrganizationID(fmt.Sprint("org-", w))
		for i := range rounds {
			f.wantTold(t, incident.Key{OrganizationID: org, Identifier: int64(i) + 1}, slotOf(org, incident.ProjectID(fmt.Sprint("project-", i))))
		}
	}
}

func feedObeysTheContext(t testing.TB, s incident.FeedStore) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Changes(ctx, "")
	wantError(t, "Changes() in a cancelled context", err, context.Canceled)
}
