package storetest

import (
	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A read shows no data of other organizations, although both have the same
// identifiers, sequences, slots, projects and users.
func isolationOfReads(t *trial, s incident.Store) {
	inc := mustWorld(t, s, acme)
	alone := make(map[string]any)
	for _, op := range reads() {
		alone[op.name] = mustCall(t, s, op, inc)
	}
	other := mustWorld(t, s, umbrella)
	for _, op := range writes() {
		mustCall(t, s, op, other)
	}
	for _, op := range reads() {
		wantEqual(t, op.name+" beside another organization", mustCall(t, s, op, inc), alone[op.name])
		if equal(mustCall(t, s, op, other), alone[op.name]) {
			t.Errorf("%s returns the same for two organizations", op.name)
		}
	}
}

// A write changes no data of other organizations.
func isolationOfWrites(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	mustWorld(t, s, umbrella)
	for _, op := range writes() {
		mine := mustSnapshot(t, s, acme)
		wantUnchanged(t, s, umbrella, func() { mustCall(t, s, op, w) })
		if equal(mustSnapshot(t, s, acme), mine) {
			t.Errorf("%s has no effect%s", op.name, mine.lacking())
		}
	}
}

// The same changes in two organizations have the same results.
func isolationOfEqualHistories(t *trial, s incident.Store) {
	id := uuid.New()
	var worlds []world
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		mustApply(t, s, creationWith(id, ruled(org, web)))
		w := mustWorld(t, s, org)
		mustApply(t, s, transition(mustLoad(t, s, incident.Key{OrganizationID: org, Identifier: 1}), incident.StatusClosed))
		worlds = append(worlds, w)
	}
	for _, op := range writes() {
		for _, w := range worlds {
			mustCall(t, s, op, w)
		}
	}
	want := numbersOf(mustSnapshot(t, s, acme))
	wantEqual(t, "the numbers of two organizations", numbersOf(mustSnapshot(t, s, umbrella)), want)
}

// numbers are the counters of an organization.
type numbers struct {
	Identifiers, Versions, SlotVersions []int64
	Sequences                           [][]int64
}

func numbersOf(snap snapshot) numbers {
	var n numbers
	for _, r := range snap.Incidents {
		n.Identifiers = append(n.Identifiers, r.State.Incident.Identifier)
		n.Versions = append(n.Versions, r.State.Incident.Version)
		n.Sequences = append(n.Sequences, sequencesOf(r.Activities.Activities))
	}
	for _, slot := range snap.Slots {
		n.SlotVersions = append(n.SlotVersions, slot.State.Version)
	}
	return n
}

// The holder of a slot belongs to the slot's organization. An incident of another
// organization with the same identifier does not matter.
func isolationOfHolders(t *trial, s incident.Store) {
	mustCreate(t, s, ruled(umbrella, api))
	st := mustCreate(t, s, ruled(acme, db))
	wantSlot(t, s, slotOf(acme, api), 0, nil)
	wantSlot(t, s, slotOf(umbrella, db), 0, nil)
	st = mustChange(t, s, reprojecting(st, api, db))
	wantSlot(t, s, slotOf(acme, api), 1, &st)
	_, err := s.Apply(t.Context(), creation(ruled(acme, api)))
	wantHolder(t, "Apply() of a slot that both organizations have taken", err, st.Incident.Key())
}

func mustCall(t *trial, s incident.Store, op operation, w world) any {
	t.Helper()
	got, err := op.do(t.Context(), s, w)
	if err != nil {
		t.Fatalf("%s for %s = %v, want no error", op.name, w.key(), err)
	}
	return got
}
