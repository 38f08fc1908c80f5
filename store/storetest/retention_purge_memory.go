package storetest

import (
	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The identifier of a purged incident is not assigned again, also if it was the last.
func purgeUsesUpIdentifiers(t *trial, s incident.RetentionStore) {
	for want := int64(1); want < 10; want += 2 {
		mustClosed(t, s, acme, t0, minute(1))
		mustClosed(t, s, acme, t0, minute(1))
		wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), want, want+1)
	}
	if got := mustCreate(t, s, draft(acme)).Incident.Identifier; got != 11 {
		t.Errorf("after 10 purged incidents the next has identifier %d, want 11", got)
	}
}

// The UUIDs of a purged incident are forgotten: a repeated change is applied.
func purgeForgetsUUIDs(t *trial, s incident.RetentionStore) {
	c := creationWith(uuid.New(), ruled(acme, api))
	st := mustChange(t, s, closing(mustLoad(t, s, mustApply(t, s, c).Incident.Key()), minute(9)))
	said := comment(st.Incident.Key(), "text")
	mustApply(t, s, said)
	mustPurgeAll(t, s, anyDue(acme))
	if again := mustApply(t, s, c); again.Replayed || again.Incident.Identifier != 2 {
		t.Errorf("Apply() of a creation with the UUIDs of a deleted incident = %s, want a new incident", show(again))
	}
	said.Key.Identifier, said.Activities[0].Incident.Identifier, said.Subscriptions[0].Incident.Identifier = 2, 2, 2
	if again := mustApply(t, s, said); again.Replayed || again.Sequence != 3 {
		t.Errorf("Apply() of a comment with the UUID of a deleted comment = %s, want a new comment", show(again))
	}
	_, err := s.Apply(t.Context(), comment(st.Incident.Key(), "text"))
	wantError(t, "Apply() of a comment of the deleted incident", err, incident.ErrNotFound)
}

// A slot keeps its version after its last holder was purged, has no last holder, and can be
// claimed.
func purgeKeepsSlots(t *trial, s incident.RetentionStore) {
	st := mustCreate(t, s, ruled(acme, api, db))
	st = mustChange(t, s, reprojecting(st, db, web))
	st = mustChange(t, s, transition(st, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 2, &st)
	mustPurgeAll(t, s, anyDue(acme))
	for _, p := range []incident.ProjectID{api, db, web} {
		wantFree(t, s, slotOf(acme, p), 2, nil)
		stale := creation(ruled(acme, p))
		stale.ExpectSlot = &incident.SlotVersion{Slot: slotOf(acme, p), Version: 0}
		_, err := s.Apply(t.Context(), stale)
		wantError(t, "Apply() that expects an unclaimed slot", err, incident.ErrVersionConflict)
		c := creation(ruled(acme, p))
		c.ExpectSlot = &incident.SlotVersion{Slot: slotOf(acme, p), Version: 2}
		next := mustLoad(t, s, mustApply(t, s, c).Incident.Key())
		wantHeld(t, s, slotOf(acme, p), 3, next)
	}
}

// If the last holder of a slot was purged, the slot has no last holder, although an earlier
// holder exists. The purge of an earlier holder does not matter.
func purgeForgetsTheLastOfSeveral(t *trial, s incident.RetentionStore) {
	first := mustChange(t, s, closing(mustCreate(t, s, ruled(acme, api)), minute(9)))
	second := mustChange(t, s, closing(mustCreate(t, s, ruled(acme, api)), minute(8)))
	wantFree(t, s, slotOf(acme, api), 4, &second)
	q := anyDue(acme)
	q.ClosedBefore = minute(9)
	wantPurged(t, mustPurgeAll(t, s, q), second.Incident.Identifier)
	wantFree(t, s, slotOf(acme, api), 4, nil)
	third := mustCreate(t, s, ruled(acme, api))
	wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), first.Incident.Identifier)
	wantHeld(t, s, slotOf(acme, api), 5, third)
}

// An incident may be a duplicate of a purged incident.
func purgeKeepsDuplicates(t *trial, s incident.RetentionStore) {
	first := mustClosed(t, s, acme, t0, minute(9))
	inc := draft(acme)
	inc.DuplicateOf = first.Incident.Identifier
	st := mustCreate(t, s, inc)
	mustPurgeAll(t, s, anyDue(acme))
	wantRead(t, s, st)
	mustWrite(t, s, retitling(st, "Newer"))
}
