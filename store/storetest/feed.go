package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// RunFeed checks the contract of [incident.FeedStore]. See [Run].
func RunFeed(t *testing.T, newStore func(t *testing.T) incident.FeedStore) {
	t.Helper()
	runCases(t, feedContract(), newStore, newLimit(maxLimit))
}

// feedContract lists the promises of a feed.
func feedContract() []feedCase {
	return []feedCase{
		{"BeginsNow", feedBeginsNow},
		{"ReportsEachChange", feedReportsEachChange},
		{"ReportsComments", feedReportsComments},
		{"ReportsManyAtOnce", feedReportsManyAtOnce},
		{"ReportsNames", feedReportsNames},
		{"ReportsLateCommits", feedReportsLateCommits},
		{"ReportsAllUnderConcurrency", feedReportsAllUnderConcurrency},
		{"OmitsUndoneChanges", feedOmitsUndoneChanges},
		{"StopsRepeating", feedStopsRepeating},
		{"PositionsStayGood", feedPositionsStayGood},
		{"FollowersAreIndependent", feedFollowersAreIndependent},
		{"ResetsForeignPositions", feedResetsForeignPositions},
		{"ObeysTheContext", feedObeysTheContext},
	}
}

// An empty position returns the current position and no changes.
func feedBeginsNow(t *trial, s incident.FeedStore) {
	before := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f := mustFollowFeed(t, s)
	if f.hasReports() {
		t.Errorf("Changes(\"\") reports %v and %v, want nothing", f.incidents, f.slots)
	}
	after := mustCreate(t, s, draft(acme)).Incident.Key()
	f.mustCatchUp(t)
	f.wantReported(t, after)
	if f.incidents[before] != 0 {
		t.Errorf("the feed reports %s, which is older than its position", before)
	}
}

// A change is not repeated for longer than a second.
func feedStopsRepeating(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	key := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f.mustCatchUp(t)
	f.wantReported(t, key, slotOf(acme, api))
	for reported := time.Now(); f.hasReports(); time.Sleep(10 * time.Millisecond) {
		asked := time.Now() // an answer may take long
		f = followFeedFrom(s, f.position)
		f.mustCatchUp(t)
		if asked.Sub(reported) > time.Second && f.hasReports() {
			t.Fatalf("a second later the feed still reports %v and %v, want nothing", f.incidents, f.slots)
		}
	}
}

// A position can be used again, since an answer can be lost.
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
			again.wantReported(t, key, slotsOf(mustLoad(t, s, key).Incident)...)
		}
	}
}

// Each process follows the feed from its own position.
func feedFollowersAreIndependent(t *trial, s incident.FeedStore) {
	first := mustFollowFeed(t, s)
	early := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	second := mustFollowFeed(t, s)
	for _, p := range []incident.ProjectID{db, web} {
		key := mustCreate(t, s, ruled(acme, p)).Incident.Key()
		for _, f := range []*follower{first, second} {
			f.mustCatchUp(t)
			f.wantReported(t, key, slotOf(acme, p))
		}
	}
	first.wantReported(t, early, slotOf(acme, api))
}

// For a position that the store cannot have returned, Changes resets the follower. An
// error would stop the follower forever, and an empty answer would hide changes.
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
		f.wantReported(t, st.Incident.Key())
	}
}

// Changes returns the error of a done context.
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
