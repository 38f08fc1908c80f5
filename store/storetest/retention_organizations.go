package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// DeleteOrganization deletes active and closed incidents, and the slots.
func deleteOrganizationDeletesAll(t *trial, s incident.RetentionStore) {
	closed := mustRemains(t, s, acme)
	active := mustWorld(t, s, acme).state
	deleted := mustDeleteOrganization(t, s, acme, everything)
	got := identifiersOfVersions(deleted)
	slices.Sort(got)
	wantEqual(t, "the deleted incidents", got, []int64{1, 2})
	for _, st := range []incident.State{closed, active} {
		wantGone(t, s, st)
		_, err := s.Apply(t.Context(), comment(st.Incident.Key(), "text"))
		wantError(t, "Apply() of a comment after DeleteOrganization()", err, incident.ErrNotFound)
	}
	for _, p := range []incident.ProjectID{api, db, web} {
		wantFree(t, s, slotOf(acme, p), 0, nil)
	}
	wantEqual(t, "the organizations", mustOrganizations(t, s, "", everything), []incident.OrganizationID(nil))
	wantEqual(t, "the records", mustSnapshot(t, s, acme).Incidents, []record(nil))
}

// A call deletes at most limit incidents. The incidents that remain are whole.
func deleteOrganizationIsLimited(t *trial, s incident.RetentionStore) {
	for range 7 {
		mustRemains(t, s, acme)
	}
	before := map[int64]record{}
	for _, r := range mustSnapshot(t, s, acme).Incidents {
		before[r.State.Incident.Identifier] = r
	}
	left := 7
	for _, limit := range []int{1, 3, 2} {
		b, err := s.DeleteOrganization(t.Context(), acme, limit)
		if err != nil || b.Done || len(b.Deleted) < 1 || len(b.Deleted) > limit {
			t.Fatalf("DeleteOrganization(%q, %d) of %d incidents = %s, %v; want between 1 and %d", acme, limit, left, show(b), err, limit)
		}
		left -= len(b.Deleted)
		rest := mustSnapshot(t, s, acme).Incidents
		if len(rest) != left {
			t.Errorf("%d incidents remain, want %d", len(rest), left)
		}
		for _, r := range rest {
			wantEqual(t, "a remaining incident", r, before[r.State.Incident.Identifier])
		}
	}
	mustDeleteOrganization(t, s, acme, 2)
	wantEqual(t, "the remaining incidents", allIdentifiers(t, s, acme), []int64(nil))
}

// The identifiers of a deleted organization are not assigned again, also if its incidents were
// purged before.
func deleteOrganizationUsesUpIdentifiers(t *trial, s incident.RetentionStore) {
	mustRemains(t, s, acme)
	mustCreate(t, s, draft(acme))
	for want := int64(3); want <= 5; want++ {
		mustDeleteOrganization(t, s, acme, everything)
		if got := mustCreate(t, s, draft(acme)).Incident.Identifier; got != want {
			t.Fatalf("after DeleteOrganization() the next incident has identifier %d, want %d", got, want)
		}
	}
	mustClosed(t, s, acme, t0, minute(9))
	mustPurgeAll(t, s, anyDue(acme))
	mustDeleteOrganization(t, s, acme, everything)
	if got := mustCreate(t, s, draft(acme)).Incident.Identifier; got != 7 {
		t.Errorf("after Purge() and DeleteOrganization() the next incident has identifier %d, want 7", got)
	}
}

// The UUIDs of a deleted organization are forgotten.
func deleteOrganizationForgetsUUIDs(t *trial, s incident.RetentionStore) {
	c := creationWith(uuid.New(), ruled(acme, api))
	mustApply(t, s, c)
	mustDeleteOrganization(t, s, acme, everything)
	if again := mustApply(t, s, c); again.Replayed || again.Incident.Identifier != 2 {
		t.Errorf("Apply() with the UUIDs of a deleted incident = %s, want a new incident", show(again))
	}
}

// Between two calls a slot of a deleted incident has no holder and no last holder, and can be
// claimed. Its version does not go back.
func deleteOrganizationFreesSlots(t *trial, s incident.RetentionStore) {
	projects := map[int64]incident.ProjectID{1: api, 2: db, 3: web}
	for id := int64(1); id <= 3; id++ {
		mustCreate(t, s, ruled(acme, projects[id]))
	}
	b, err := s.DeleteOrganization(t.Context(), acme, 1)
	if err != nil || len(b.Deleted) != 1 || b.Done {
		t.Fatalf("DeleteOrganization(%q, 1) of 3 incidents = %s, %v; want 1 deleted", acme, show(b), err)
	}
	slot := slotOf(acme, projects[b.Deleted[0].Key.Identifier])
	got := mustLoadSlot(t, s, slot)
	if got.State != nil || got.Last != nil || got.Version < 1 {
		t.Errorf("LoadSlot() of a deleted holder = %s, want a free slot of version 1 or greater", show(got))
	}
	c := creation(ruled(acme, slot.ProjectID))
	c.ExpectSlot = &incident.SlotVersion{Slot: slot, Version: got.Version}
	next := mustLoad(t, s, mustApply(t, s, c).Incident.Key())
	wantHeld(t, s, slot, got.Version+1, next)
	if next.Incident.Identifier != 4 {
		t.Errorf("an incident that is created between two calls has identifier %d, want 4", next.Incident.Identifier)
	}
	mustDeleteOrganization(t, s, acme, 2)
	wantGone(t, s, next)
}

// The slots of an organization are more than its incidents. A call that finds no incident deletes
// the rest, however much that is: a caller takes a call that deletes nothing for blocked by others.
func deleteOrganizationOfManySlots(t *trial, s incident.RetentionStore) {
	projects := make([]incident.ProjectID, incident.MaxProjects)
	for i := range projects {
		projects[i] = nthProject(i)
	}
	for i := range 12 {
		inc := ruled(acme, projects...)
		inc.QueryID = incident.QueryID(fmt.Sprint("query ", i))
		mustCreate(t, s, inc)
	}
	mustDeleteOrganization(t, s, acme, everything)
	got := mustLoadSlot(t, s, incident.Slot{OrganizationID: acme, AlertRuleID: slotOf(acme, api).AlertRuleID, ProjectID: projects[99], QueryID: "query 11"})
	if got.State != nil || got.Last != nil || got.Version != 0 {
		t.Errorf("LoadSlot() of a deleted organization = %s, want a slot that nobody had", show(got))
	}
}

// The returned version of a deleted incident is greater than all that the incident had.
func deleteOrganizationReturnsGreaterVersions(t *trial, s incident.RetentionStore) {
	first := mustChange(t, s, retitling(mustRemains(t, s, acme), "Newer"))
	second := mustCreate(t, s, draft(acme))
	for _, v := range mustDeleteOrganization(t, s, acme, everything) {
		last := first
		if v.Key.Identifier == 2 {
			last = second
		}
		if v.Key != last.Incident.Key() || v.Version <= last.Incident.Version {
			t.Errorf("DeleteOrganization() returns %s, want a version of %s greater than %d", show(v), last.Incident.Key(), last.Incident.Version)
		}
	}
}

// Deleting an organization that is unknown, or deleted already, does nothing and is done.
func deleteOrganizationOfNothing(t *trial, s incident.RetentionStore) {
	want := incident.DeleteBatch{Done: true}
	mustRemains(t, s, umbrella)
	for range 2 {
		got, err := s.DeleteOrganization(t.Context(), acme, 1)
		if err != nil {
			t.Fatalf("DeleteOrganization() of nothing = %v, want no error", err)
		}
		wantEqual(t, "DeleteOrganization() of nothing", got, want)
		mustCreate(t, s, draft(acme))
		mustDeleteOrganization(t, s, acme, 1)
	}
}

// Another organization with the same incidents is not touched.
func deleteOrganizationIsolatesOrganizations(t *trial, s incident.RetentionStore) {
	for _, org := range []incident.OrganizationID{acme, umbrella, "acme%", "Acme"} {
		mustRemains(t, s, org)
		mustWorld(t, s, org)
	}
	for _, org := range []incident.OrganizationID{umbrella, "Acme"} {
		wantUnchanged(t, s, org, func() { mustDeleteOrganization(t, s, "acme%", everything) })
	}
	wantUnchanged(t, s, umbrella, func() { mustDeleteOrganization(t, s, acme, everything) })
	wantUnchanged(t, s, "Acme", func() { mustDeleteOrganization(t, s, umbrella, everything) })
	wantEqual(t, "the organizations", mustOrganizations(t, s, "", everything), []incident.OrganizationID{"Acme"})
}

func deleteOrganizationObeysTheContext(t *trial, s incident.RetentionStore) {
	mustRemains(t, s, acme)
	for _, org := range []incident.OrganizationID{acme, "nobody"} {
		wantDoneContext(t, s, "DeleteOrganization()", func(ctx context.Context) error {
			_, err := s.DeleteOrganization(ctx, org, everything)
			return err
		})
	}
}

// While others create incidents, each is deleted once or remains whole. Afterwards the
// organization can be deleted.
func deleteOrganizationExcludesWriters(t *trial, s incident.RetentionStore) {
	var over atomic.Bool
	var created atomic.Int64
	var made [racers][]int64
	var deleted []incident.IncidentVersion
	t.together(racers+1, func(i int) {
		if i == racers {
			defer over.Store(true)
			for start := time.Now(); created.Load() < 20; {
				if time.Since(start) > t.patience {
					t.Error("the slots of deleted incidents cannot be claimed")
					return
				}
				b, err := s.DeleteOrganization(t.Context(), acme, 2)
				if err != nil {
					t.Errorf("DeleteOrganization() beside writers = %v, want no error", err)
					return
				}
				deleted = append(deleted, b.Deleted...)
			}
			return
		}
		for !over.Load() && len(made[i]) < everything {
			applied, err := s.Apply(t.Context(), creation(ruled(acme, nthProject(i))))
			var conflict *incident.ConflictError
			if errors.As(err, &conflict) {
				continue
			}
			if err != nil {
				t.Errorf("Apply() beside DeleteOrganization() = %v, want no error", err)
				return
			}
			key := applied.Incident.Key()
			made[i] = append(made[i], key.Identifier)
			created.Add(1)
			if _, err := s.Apply(t.Context(), comment(key, "text")); err != nil && !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("Apply() of a comment beside DeleteOrganization() = %v, want no error or ErrNotFound", err)
			}
		}
	})
	wantConsistentRest(t, mustSnapshot(t, s, acme))
	deleted = append(deleted, mustDeleteOrganization(t, s, acme, everything)...)
	wantEachOnce(t, identifiersOfVersions(deleted), slices.Concat(made[:]...))
	wantEqual(t, "the remaining incidents", allIdentifiers(t, s, acme), []int64(nil))
}

// wantEachOnce checks that each identifier from the first to the last was deleted once, and that
// those are all that were made. A creation that is repeated after a lost reply may make another
// incident if its first was deleted in between: see [incident.RetentionManager].
func wantEachOnce(t *trial, deleted, made []int64) {
	t.Helper()
	slices.Sort(deleted)
	for i, id := range deleted {
		if id != int64(i)+1 {
			t.Errorf("the deleted incidents are %v, want each identifier once", deleted)
			return
		}
	}
	for _, id := range made {
		if id > int64(len(deleted)) {
			t.Errorf("the deleted incidents are %v, which lack the incident %d", deleted, id)
		}
	}
}

// wantConsistentRest checks that each remaining incident holds its slots and has its activities.
func wantConsistentRest(t *trial, snap snapshot) {
	t.Helper()
	for _, r := range snap.Incidents {
		if n := len(r.Activities.Activities); n < 2 || n > 3 {
			t.Errorf("the remaining incident %s has %d activities, want 2 or 3", r.State.Incident.Key(), n)
		}
		for _, held := range snap.Slots {
			if slices.Contains(slotsOf(r.State.Incident), held.Slot) && (held.State.State == nil || !equal(*held.State.State, r.State)) {
				t.Errorf("the slot of the remaining incident %s holds %s", r.State.Incident.Key(), show(held.State))
			}
		}
	}
}

// The notifications of a deleted organization are deleted, delivered or not. Those of others are
// not.
func deleteOrganizationDeletesNotifications(t *trial, s retentionOutbox) {
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		for _, notifier := range []string{"", mail} {
			key := mustCreate(t, s, draft(org)).Incident.Key()
			mustNotifyTo(t, s, key, notifier)
			mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 3), "no receiver"))
			r := reminder("later", notifier)
			r.At = never
			mustRemind(t, s, key, r)
		}
	}
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		for _, notifier := range []string{"", mail} {
			key := mustCreate(t, s, draft(org)).Incident.Key()
			mustNotifyTo(t, s, key, notifier)
			replayed := mustCreate(t, s, draft(org)).Incident.Key()
			mustNotifyTo(t, s, replayed, notifier)
		}
	}
	mustDeleteOrganization(t, s, acme, 3)
	for _, notifier := range []string{"", mail} {
		wantBacklogOf(t, s, notifier, "after DeleteOrganization()", counts{pending: 2, parked: 1, reminders: 1})
		if got := mustParked(t, s, parkedFor(acme, notifier)); len(got) > 0 {
			t.Errorf("Parked() of a deleted organization = %s, want none", show(got))
		}
		for _, c := range mustClaimAll(t, s, anythingOf(notifier), 2) {
			if c.Key.OrganizationID != umbrella {
				t.Errorf("Claim() returns %s of a deleted organization", show(c.Ticket))
			}
		}
	}
}

// A claim of a deleted incident can no longer be settled, and a later incident has a queue of its
// own.
func deleteOrganizationEndsClaims(t *trial, s retentionOutbox) {
	key := mustQueue(t, s, acme, 2)
	claim := mustClaimOne(t, s, key, 3)
	mustDeleteOrganization(t, s, acme, everything)
	next := mustQueue(t, s, acme, 1)
	mustSettle(t, s, park(claim, "too late"))
	wantParked(t, s, acme)
	mustDrain(t, s, map[incident.Key][]int64{next: {3}})
}
