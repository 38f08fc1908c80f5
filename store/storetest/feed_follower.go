package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/incidentkit/incident"
)

// follower reads a feed and keeps the latest versions and sequences that the feed has reported.
type follower struct {
	store      incident.FeedStore
	position   incident.FeedPosition
	incidents  map[incident.Key]int64
	activities map[incident.Key]int64
	slots      map[incident.Slot]int64
}

func followFeedFrom(s incident.FeedStore, position incident.FeedPosition) *follower {
	return &follower{
		store: s, position: position,
		incidents: map[incident.Key]int64{}, activities: map[incident.Key]int64{}, slots: map[incident.Slot]int64{},
	}
}

func mustFollowFeed(t *trial, s incident.FeedStore) *follower {
	t.Helper()
	f := followFeedFrom(s, "")
	f.mustCatchUp(t)
	return f
}

func (f *follower) mustCatchUp(t *trial) {
	t.Helper()
	changes, err := f.store.Changes(t.Context(), f.position)
	if err != nil {
		t.Fatalf("Changes() = %v, want no error", err)
	}
	if changes.Position == "" {
		t.Fatal("Changes() returns an empty position, want one to continue from")
	}
	if changes.Reset {
		t.Fatalf("Changes(%q) is a reset, want changes: the store returned this position", f.position)
	}
	f.position = changes.Position
	for _, v := range changes.Incidents {
		f.incidents[v.Key] = max(f.incidents[v.Key], v.Version)
		f.activities[v.Key] = max(f.activities[v.Key], v.Activities)
	}
	for _, v := range changes.Slots {
		f.slots[v.Slot] = max(f.slots[v.Slot], v.Version)
	}
}

func (f *follower) hasReports() bool { return len(f.incidents)+len(f.slots) > 0 }

// wantReported checks that the feed has reported the current version of an incident and of
// the slots, and the sequence of the incident's last activity.
func (f *follower) wantReported(t *trial, key incident.Key, slots ...incident.Slot) {
	t.Helper()
	if got, want := f.incidents[key], mustLoad(t, f.store, key).Incident.Version; got != want {
		t.Errorf("the feed has reported version %d of %s, want %d", got, key, want)
	}
	mustIfImplemented(t, "Activities", func() error {
		log, err := f.store.Activities(t.Context(), key, incident.ActivityQuery{Descending: true, Limit: 1})
		if err == nil && (len(log.Activities) == 0 || f.activities[key] != log.Activities[0].Sequence) {
			t.Errorf("the feed has reported activity %d of %s as the last, want that of %+v", f.activities[key], key, log.Activities)
		}
		return err
	})
	for _, slot := range slots {
		if got, want := f.slots[slot], mustLoadSlot(t, f.store, slot).Version; got != want {
			t.Errorf("the feed has reported version %d of slot %v, want %d", got, slot, want)
		}
	}
}

// wantCommitted checks that the store has every version that the feed has reported.
func (f *follower) wantCommitted(t *trial) {
	t.Helper()
	for key, reported := range f.incidents {
		st, err := f.store.Load(t.Context(), key)
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			t.Fatalf("Load(%s) = %v, want no error", key, err)
		}
		if err != nil || st.Incident.Version < reported {
			t.Errorf("the feed has reported version %d of %s, but Load() = version %d, %v",
				reported, key, st.Incident.Version, err)
		}
	}
	for slot, reported := range f.slots {
		if got := mustLoadSlot(t, f.store, slot).Version; got < reported {
			t.Errorf("the feed has reported version %d of slot %v, which has version %d", reported, slot, got)
		}
	}
}

// beOvertaken writes to umbrella and reads the feed, while a transaction that writes to
// acme is in progress. A store may make either call wait for the transaction. The
// reported versions are dropped.
func (f *follower) beOvertaken(t *trial) error {
	write := func(ctx context.Context) error {
		_, err := f.store.Apply(ctx, creation(draft(umbrella)))
		return err
	}
	ask := func(ctx context.Context) error {
		changes, err := f.store.Changes(ctx, f.position)
		if err != nil {
			return err
		}
		f.position = changes.Position
		for _, v := range changes.Incidents {
			if v.Key.OrganizationID == acme {
				t.Errorf("the feed reports version %d of %s before its commit", v.Version, v.Key)
			}
		}
		for _, v := range changes.Slots {
			if v.Slot.OrganizationID == acme {
				t.Errorf("the feed reports version %d of slot %v before its commit", v.Version, v.Slot)
			}
		}
		return nil
	}
	for _, call := range []func(ctx context.Context) error{write, ask} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := call(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, incident.ErrUnavailable) {
			return err
		}
	}
	return nil
}
