package storetest

import (
	"time"

	"github.com/incidentkit/incident"
)

// wantDeletionsReported checks that the feed has reported the returned versions of deleted
// incidents.
func (f *follower) wantDeletionsReported(t *trial, deleted []incident.IncidentVersion) {
	t.Helper()
	for _, v := range deleted {
		if got := f.incidents[v.Key]; got != v.Version {
			t.Errorf("the feed has reported version %d of the deleted incident %s, want %d", got, v.Key, v.Version)
		}
	}
}

// The feed reports each deleted incident with the version that Purge returned, and no other
// incident. A repeated position has the same answer.
func purgeReportsTheDeleted(t *trial, s retentionFeed) {
	for range 3 {
		mustRemains(t, s, acme)
	}
	mustCreate(t, s, draft(acme))
	mustRemains(t, s, umbrella)
	f := mustFollowFeed(t, s)
	again := followFeedFrom(s, f.position)
	q := anyDue(acme)
	q.Limit = 2
	b := mustPurgeAll(t, s, q)
	wantPurged(t, b, 1, 2, 3)
	for _, f := range []*follower{f, again} {
		f.mustCatchUp(t)
		f.wantDeletionsReported(t, b.Purged)
		if len(f.incidents) != len(b.Purged) {
			t.Errorf("after a purge the feed reports %v, want %v", f.incidents, b.Purged)
		}
	}
	key := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	f.mustCatchUp(t)
	f.wantReported(t, key, slotOf(acme, api))
}

// No deletion is missed, wherever it falls between the calls, and beside other commits.
func purgeReportsAllUnderConcurrency(t *trial, s retentionFeed) {
	const n = 40
	for i := range n {
		mustClosed(t, s, acme, at(time.Duration(i)*time.Second), minute(60))
	}
	f := mustFollowFeed(t, s)
	var purged incident.PurgeBatch
	done := t.start(func() {
		t.together(2, func(i int) {
			if i == 0 {
				q := anyDue(acme)
				q.Limit = 2
				var err error
				if purged, err = purgeAll(t, s, q); err != nil {
					t.Error(err)
				}
				return
			}
			for range 10 {
				if err := openInTx(t.Context(), s, draft(umbrella), false); err != nil {
					t.Errorf("InTx() beside Purge() = %v, want no error", err)
				}
			}
		})
	})
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		f.mustCatchUp(t)
	}
	f.wantDeletionsReported(t, purged.Purged)
	if len(purged.Purged) != n {
		t.Errorf("Purge() deletes %d incidents, want %d", len(purged.Purged), n)
	}
}

// The feed reports the incidents whose version or comments an erasure has changed.
func eraseReportsTheChanged(t *trial, s retentionFeed) {
	responded := mustCreate(t, s, draft(acme))
	responded = mustChange(t, s, responding(responded, acknowledged(ada, bob, minute(9))))
	commented := mustCreate(t, s, draft(acme))
	mustComment(t, s, commented.Incident.Key(), "text")
	mustCreate(t, s, draft(acme))
	other := mustCreate(t, s, draft(umbrella))
	mustComment(t, s, other.Incident.Key(), "text")
	f := mustFollowFeed(t, s)
	changed := mustErase(t, s, erasing(acme, ada, eve))
	f.mustCatchUp(t)
	f.wantReported(t, responded.Incident.Key())
	f.wantReported(t, commented.Incident.Key())
	if len(changed) != 2 || len(f.incidents) != 2 {
		t.Errorf("EraseUser() changes %v, and the feed reports %v; want the incidents 1 and 2", changed, f.incidents)
	}
}

// The feed reports each incident that DeleteOrganization has deleted, until it is done.
func deleteOrganizationReportsTheDeleted(t *trial, s retentionFeed) {
	for range 6 {
		mustCreate(t, s, ruled(acme, nthProject(len(allIdentifiers(t, s, acme)))))
	}
	f := mustFollowFeed(t, s)
	b, err := s.DeleteOrganization(t.Context(), acme, 3)
	if err != nil || len(b.Deleted) == 0 || b.Done {
		t.Fatalf("DeleteOrganization(%q, 3) of 6 incidents = %s, %v, want up to 3 deleted", acme, show(b), err)
	}
	f.mustCatchUp(t)
	f.wantDeletionsReported(t, b.Deleted)
	if len(f.incidents) != len(b.Deleted) {
		t.Errorf("after DeleteOrganization() the feed reports %v, want %v", f.incidents, b.Deleted)
	}
}

// Once DeleteOrganization is done, each position before is a reset, since the versions of slots
// begin again. The feed continues from its new position, also for the same organization.
func deleteOrganizationResetsOldPositions(t *trial, s retentionFeed) {
	early := mustFollowFeed(t, s).position
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		mustChange(t, s, transition(mustCreate(t, s, ruled(org, api)), incident.StatusClosed))
	}
	late := mustFollowFeed(t, s).position
	mustDeleteOrganization(t, s, acme, everything)
	for _, since := range []incident.FeedPosition{early, late} {
		c, err := s.Changes(t.Context(), since)
		if err != nil || !c.Reset || c.Position == "" {
			t.Fatalf("Changes() of a position before DeleteOrganization() was done = reset %v, %v; want a reset with a position", c.Reset, err)
		}
		f := followFeedFrom(s, c.Position)
		st := mustCreate(t, s, ruled(acme, api))
		f.mustCatchUp(t)
		f.wantReported(t, st.Incident.Key(), slotOf(acme, api))
		mustChange(t, s, transition(st, incident.StatusClosed))
	}
}

// If there is nothing to delete, positions remain valid.
func deleteOrganizationOfNothingResetsNothing(t *trial, s retentionFeed) {
	f := mustFollowFeed(t, s)
	mustDeleteOrganization(t, s, "nobody", everything)
	key := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	mustDeleteOrganization(t, s, "nobody", everything)
	f.mustCatchUp(t)
	f.wantReported(t, key, slotOf(acme, api))
}
