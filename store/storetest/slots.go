package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// wantSlot checks the version and the holder of a slot. A nil holder stands for none. The
// last holder of a free slot does not matter.
func wantSlot(t *trial, s incident.Store, slot incident.Slot, version int64, holder *incident.State) {
	t.Helper()
	got := mustLoadSlot(t, s, slot)
	want := incident.SlotState{Version: version, State: holder, Last: got.Last}
	wantEqual(t, fmt.Sprintf("LoadSlot(%+v)", slot), got, want)
}

// A slot that was never claimed is zero without an error, in an unknown organization
// too.
func loadSlotIsZeroWhenUnclaimed(t *trial, s incident.Store) {
	wantSlot(t, s, slotOf("nobody", api), 0, nil)
	mustCreate(t, s, ruled(acme, api))
	wantSlot(t, s, slotOf(acme, db), 0, nil)
	wantSlot(t, s, slotOf("nobody", api), 0, nil)
}

// LoadSlot returns the whole current state of the holder.
func loadSlotReturnsTheHolder(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api, db), firing(warning), firing(critical))
	wantSlot(t, s, slotOf(acme, api), 1, &st)
	wantSlot(t, s, slotOf(acme, db), 1, &st)
	st = mustChange(t, s, retitling(st, "Newer"))
	wantSlot(t, s, slotOf(acme, db), 1, &st)
}

// Claims and releases increase the version of a slot. Other changes do not.
func slotsCountClaimsAndReleases(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	for version := int64(1); version < 8; version += 2 {
		st := mustCreate(t, s, ruled(acme, api))
		wantSlot(t, s, slot, version, &st)
		mustComment(t, s, st.Incident.Key(), "text")
		_, err := s.Apply(t.Context(), creation(ruled(acme, api)))
		wantHolder(t, "Apply() of a taken slot", err, st.Incident.Key())
		applied := mustApply(t, s, transition(st, incident.StatusClosed))
		wantSlots(t, applied, incident.SlotVersion{Slot: slot, Version: version + 1})
		wantSlot(t, s, slot, version+1, nil)
	}
}

// A claim of a taken slot returns its holder and writes nothing, for a creation, a
// reopening and a new project.
func slotsAreHeldByOne(t *trial, s incident.Store) {
	closed := mustCreate(t, s, ruled(acme, api), firing(critical))
	closed = mustChange(t, s, transition(closed, incident.StatusClosed))
	holder := mustCreate(t, s, ruled(acme, api))
	active := mustCreate(t, s, ruled(acme, db), firing(warning))
	joining := reprojecting(active, api, db, web)
	joining.Activities = comment(joining.Key, "This must not be written").Activities
	joining.Triggers = everythingOf(active).Triggers
	joining.Subscriptions = everythingOf(active).Subscriptions
	changes := map[string]incident.Change{
		"a new incident": creation(ruled(acme, api), firing(critical)),
		"a reopening":    transition(closed, incident.StatusWarning),
		"a new project":  joining,
	}
	wantUnchanged(t, s, acme, func() {
		for name, c := range changes {
			_, err := s.Apply(t.Context(), c)
			wantHolder(t, "Apply() of "+name, err, holder.Incident.Key())
		}
	})
}

// A change that claims several slots checks each of them.
func slotsAreClaimedTogether(t *trial, s incident.Store) {
	holder := mustCreate(t, s, ruled(acme, web)).Incident.Key()
	other := mustCreate(t, s, ruled(acme, db)).Incident.Key()
	tests := []struct {
		projects []incident.ProjectID
		holders  []incident.Key
	}{
		{[]incident.ProjectID{api, web}, []incident.Key{holder}},
		{[]incident.ProjectID{web, "zoo"}, []incident.Key{holder}},
		{[]incident.ProjectID{api, web, "zoo"}, []incident.Key{holder}},
		{[]incident.ProjectID{api, db, web}, []incident.Key{holder, other}},
	}
	wantUnchanged(t, s, acme, func() {
		for _, tt := range tests {
			_, err := s.Apply(t.Context(), creation(ruled(acme, tt.projects...)))
			wantHolder(t, fmt.Sprintf("Apply() that claims %v", tt.projects), err, tt.holders...)
		}
	})
	wantSlot(t, s, slotOf(acme, api), 0, nil)
	wantSlot(t, s, slotOf(acme, "zoo"), 0, nil)
}

// An empty query identifies a slot like any other query.
func slotsWithoutAQueryAreHeldByOne(t *trial, s incident.Store) {
	inc := ruled(acme, api)
	inc.QueryID = ""
	st := mustCreate(t, s, inc)
	_, err := s.Apply(t.Context(), creation(inc))
	wantHolder(t, "Apply() of a taken slot without a query", err, st.Incident.Key())
	wantSlot(t, s, slotsOf(inc)[0], 1, &st)
	wantSlot(t, s, slotOf(acme, api), 0, nil)
	mustCreate(t, s, ruled(acme, api))
}

// Slots that differ in any field are independent.
func slotsDifferInEachField(t *trial, s incident.Store) {
	all := make([]incident.Incident, 5)
	for i := range all {
		all[i] = ruled(acme, api)
	}
	all[1].OrganizationID = umbrella
	all[2].AlertRuleID = "errors"
	all[3].Projects = []incident.ProjectID{db}
	all[4].QueryID = "p50"
	states := make([]incident.State, len(all))
	for i, inc := range all {
		states[i] = mustCreate(t, s, inc)
	}
	for i, st := range states {
		wantSlot(t, s, slotsOf(all[i])[0], 1, &st)
		mustApply(t, s, transition(st, incident.StatusClosed))
		for j, later := range states[i+1:] {
			wantSlot(t, s, slotsOf(all[i+1+j])[0], 1, &later)
		}
	}
}

// A released slot can be claimed, by its former holder or by another incident.
func slotsAreFreeWhenReleased(t *trial, s incident.Store) {
	first := mustCreate(t, s, ruled(acme, api, db))
	first = mustChange(t, s, reprojecting(first, db))
	second := mustCreate(t, s, ruled(acme, api))
	wantSlot(t, s, slotOf(acme, api), 3, &second)
	mustApply(t, s, transition(second, incident.StatusClosed))
	first = mustChange(t, s, transition(first, incident.StatusClosed))
	first = mustChange(t, s, transition(first, incident.StatusOpen))
	first = mustChange(t, s, reprojecting(first, api, db))
	wantSlot(t, s, slotOf(acme, api), 5, &first)
	wantSlot(t, s, slotOf(acme, db), 3, &first)
}

// A change may release a slot and claim another. If the claim fails, nothing is
// released.
func slotsMoveWithinAChange(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api))
	holder := mustCreate(t, s, ruled(acme, web))
	wantUnchanged(t, s, acme, func() {
		_, err := s.Apply(t.Context(), reprojecting(st, web))
		wantHolder(t, "Apply() of a taken slot", err, holder.Incident.Key())
	})
	applied := mustApply(t, s, reprojecting(st, db))
	wantSlots(t, applied, incident.SlotVersion{Slot: slotOf(acme, api), Version: 2},
		incident.SlotVersion{Slot: slotOf(acme, db), Version: 1})
	moved := mustLoad(t, s, st.Incident.Key())
	wantSlot(t, s, slotOf(acme, api), 2, nil)
	wantSlot(t, s, slotOf(acme, db), 1, &moved)
}

// The version is checked before the slots: a writer with an old version must decide
// again first.
func slotsAreClaimedAfterTheVersionCheck(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api))
	mustApply(t, s, retitling(st, "Newer"))
	mustCreate(t, s, ruled(acme, db))
	_, err := s.Apply(t.Context(), reprojecting(st, db))
	wantError(t, "Apply() on an old version that claims a taken slot", err, incident.ErrVersionConflict)
}

// Many concurrent claims have overlapping sets of slots. A single claim succeeds.
func slotsHaveOneWinner(t *trial, s incident.Store) {
	const claimers, rounds = 9, 4
	sets := [][]incident.ProjectID{{api, db}, {db, web}, {api, web}}
	for range rounds {
		errs := make([]error, claimers)
		keys := make([]incident.Key, claimers)
		t.together(claimers, func(i int) {
			applied, err := s.Apply(t.Context(), creation(ruled(acme, sets[i%len(sets)]...)))
			errs[i], keys[i] = err, applied.Incident.Key()
		})
		winner := wantOneWinner(t, errs, keys)
		mustApply(t, s, transition(mustLoad(t, s, winner), incident.StatusClosed))
	}
}

// wantOneWinner returns the holder, and checks that all other errors name it.
func wantOneWinner(t *trial, errs []error, keys []incident.Key) incident.Key {
	t.Helper()
	var winners []incident.Key
	for i, err := range errs {
		if err == nil {
			winners = append(winners, keys[i])
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d concurrent claims of overlapping slots succeeded, want 1: %v", len(winners), errors.Join(errs...))
	}
	for _, err := range errs {
		if err != nil {
			wantHolder(t, "Apply() of a loser", err, winners[0])
		}
	}
	return winners[0]
}

// Many concurrent reopenings claim the same slot. A single reopening succeeds.
func slotsAdmitOneReopening(t *trial, s incident.Store) {
	const n, rounds = 8, 4
	states := make([]incident.State, n)
	for i := range states {
		st := mustCreate(t, s, ruled(acme, api))
		states[i] = mustChange(t, s, transition(st, incident.StatusClosed))
	}
	for round := range rounds {
		errs, keys := make([]error, n), make([]incident.Key, n)
		t.together(n, func(i int) {
			_, errs[i] = s.Apply(t.Context(), transition(states[i], incident.StatusCritical))
			keys[i] = states[i].Incident.Key()
		})
		winner := mustLoad(t, s, wantOneWinner(t, errs, keys))
		wantSlot(t, s, slotOf(acme, api), int64(2*(n+round)+1), &winner)
		q := incident.IncidentQuery{OrganizationID: acme, Statuses: incident.ActiveStatuses(), Limit: everything}
		wantEqual(t, "the active incidents", mustIncidents(t, s, q), []incident.Incident{winner.Incident})
		states[winner.Incident.Identifier-1] = mustChange(t, s, transition(winner, incident.StatusClosed))
	}
}

// A slot that is claimed and released concurrently never has two holders, and counts
// each time.
func slotsCountUnderConcurrency(t *trial, s incident.Store) {
	const claimers, each = 6, 8
	var holders, wins atomic.Int64
	t.together(claimers, func(int) {
		for range each {
			applied, err := s.Apply(t.Context(), creation(ruled(acme, api)))
			if _, taken := errors.AsType[*incident.ConflictError](err); taken {
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			wins.Add(1)
			if n := holders.Add(1); n != 1 {
				t.Errorf("the slot has %d holders at once", n)
			}
			time.Sleep(50 * time.Microsecond) // for others to try
			holders.Add(-1)
			st := incident.State{Incident: applied.Incident}
			if _, err := s.Apply(t.Context(), transition(st, incident.StatusClosed)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wantSlot(t, s, slotOf(acme, api), 2*wins.Load(), nil)
}
