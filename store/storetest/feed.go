package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// RunFeed runs the cases of [incident.FeedStore], as [Run] does those of the rest.
func RunFeed(t *testing.T, newStore func(t *testing.T) incident.FeedStore) {
	t.Helper()
	runCases(t, feedContract(), newStore, newLimit(maxLimit))
}

// feedContract lists what a feed promises.
func feedContract() []feedCase {
	return []feedCase{
		{"BeginsNow", feedBeginsNow},
		{"TellsEachChange", feedTellsEachChange},
		{"TellsManyAtOnce", feedTellsManyAtOnce},
		{"TellsNames", feedTellsNames},
		{"TellsLateCommits", feedTellsLateCommits},
		{"TellsAllUnderConcurrency", feedTellsAllUnderConcurrency},
		{"PassesOverWhatIsUndone", feedPassesOverWhatIsUndone},
		{"GoesOn", feedGoesOn},
		{"PositionsStayGood", feedPositionsStayGood},
		{"FollowersAreIndependent", feedFollowersAreIndependent},
		{"ResetsForeignPositions", feedResetsForeignPositions},
		{"ObeysTheContext", feedObeysTheContext},
	}
}

func feedBeginsNow(t *trial, s incident.FeedStore) {
	before := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f := mustFollowFeed(t, s)
	if f.knowsSomething() {
		t.Errorf("a feed that begins tells of %v and %v, want nothing", f.incidents, f.slots)
	}
	after := mustCreate(t, s, draft(acme)).Incident.Key()
	f.mustCatchUp(t)
	f.wantTold(t, after)
	if f.incidents[before] != 0 {
		t.Errorf("the feed tells of %s, which was there before it began", before)
	}
}

// What was told is not told for ever.
func feedGoesOn(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	key := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f.mustCatchUp(t)
	f.wantTold(t, key, slotOf(acme, api))
	for told := time.Now(); f.knowsSomething(); time.Sleep(10 * time.Millisecond) {
		if time.Since(told) > time.Second {
			t.Fatalf("a second after they were told, the feed still tells of %v and %v", f.incidents, f.slots)
		}
		f = followFeedFrom(s, f.position)
		f.mustCatchUp(t)
	}
}

// An answer can be lost on its way: then the same is asked again.
func feedPositionsStayGood(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	begin := f.position
	var keys []incident.Key
	for _, p := range []incident.ProjectID{api, db, web} {
		keys = append(keys, mustCreate(t, s, ruled(acme, p)).Incident.Key())
		f.mustCatchUp(t)
	}
	for range 2 {
		again := followFeedFrom(s, begin)
		again.mustCatchUp(t)
		for _, key := range keys {
			again.wantTold(t, key, slotsOf(mustLoad(t, s, key).Incident)...)
		}
	}
}

// Each process follows on its own.
func feedFollowersAreIndependent(t *trial, s incident.FeedStore) {
	first := mustFollowFeed(t, s)
	early := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	second := mustFollowFeed(t, s)
	for _, p := range []incident.ProjectID{db, web} {
		key := mustCreate(t, s, ruled(acme, p)).Incident.Key()
		for _, f := range []*follower{first, second} {
			f.mustCatchUp(t)
			f.wantTold(t, key, slotOf(acme, p))
		}
	}
	first.wantTold(t, early, slotOf(acme, api))
}

// A position that the store cannot have answered tells nothing: not an error, from which
// no follower would ever recover, and not silence either.
func feedResetsForeignPositions(t *trial, s incident.FeedStore) {
	st := mustCreate(t, s, ruled(acme, api))
	own := mustFollowFeed(t, s).position
	for _, foreign := range []incident.FeedPosition{"no position", " ", "/", "::", "\x00", "\xff", own + "?", "?" + own} {
		changes, err := s.Changes(t.Context(), foreign)
		if err != nil || !changes.Reset || changes.Position == "" {
			t.Errorf("Changes(%q) = position %q, reset %v, %v; want a position, and a reset", foreign, changes.Position, changes.Reset, err)
			continue
		}
		f := followFeedFrom(s, changes.Position)
		st = mustChange(t, s, retitling(st, "Newer"))
		f.mustCatchUp(t)
		f.wantTold(t, st.Incident.Key())
	}
}

func feedObeysTheContext(t *trial, s incident.FeedStore) {
	begun := mustFollowFeed(t, s).position
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, since := range []incident.FeedPosition{"", begun} {
		_, err := s.Changes(cancelled, since)
		wantError(t, "Changes() in a cancelled context", err, context.Canceled)
		_, err = s.Changes(expired, since)
		wantError(t, "Changes() in an expired context", err, context.DeadlineExceeded)
	}
}
