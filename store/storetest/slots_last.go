package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/incidentkit/incident"
)

// wantFree checks the version and the last holder of a free slot. A nil last stands for none.
func wantFree(t *trial, s incident.Store, slot incident.Slot, version int64, last *incident.State) {
	t.Helper()
	want := incident.SlotState{Version: version, Last: last}
	wantEqual(t, fmt.Sprintf("LoadSlot(%+v)", slot), mustLoadSlot(t, s, slot), want)
}

// wantHeld checks the version and the holder of a slot, which has no last holder.
func wantHeld(t *trial, s incident.Store, slot incident.Slot, version int64, holder incident.State) {
	t.Helper()
	want := incident.SlotState{Version: version, State: &holder}
	wantEqual(t, fmt.Sprintf("LoadSlot(%+v)", slot), mustLoadSlot(t, s, slot), want)
}

// LoadSlot of a free slot returns the whole current state of its last holder, with changes made
// after the slot became free.
func loadSlotReturnsTheLastHolder(t *trial, s incident.Store) {
	wantFree(t, s, slotOf(acme, api), 0, nil)
	inc := ruled(acme, api, db)
	inc.Labels, inc.Response = map[string]string{"team": "shop"}, acknowledged(ada, bob, minute(9))
	st := mustCreate(t, s, inc, firing(warning), firing(critical))
	wantHeld(t, s, slotOf(acme, api), 1, st)
	wantFree(t, s, slotOf(acme, web), 0, nil)
	st = mustChange(t, s, transition(st, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 2, &st)
	wantFree(t, s, slotOf(acme, db), 2, &st)
	st = mustChange(t, s, retitling(st, "Newer"))
	after := st
	after.Incident.Labels, after.Incident.Response = nil, nil
	after.Triggers = []incident.Trigger{firing("another")}
	st = mustChange(t, s, update(st, after))
	mustComment(t, s, st.Incident.Key(), "text")
	wantFree(t, s, slotOf(acme, api), 2, &st)
	st = mustChange(t, s, reprojecting(st, web))
	wantFree(t, s, slotOf(acme, db), 2, &st)
	wantFree(t, s, slotOf(acme, web), 0, nil) // a closed incident claims nothing
}

// The last holder is the last of several incidents to occupy the slot. The present slots and status
// of the incident do not matter. A claim that is refused changes nothing.
func loadSlotReturnsTheLastOfSeveral(t *trial, s incident.Store) {
	first := mustCreate(t, s, ruled(acme, api, db))
	first = mustChange(t, s, reprojecting(first, db, web))
	wantFree(t, s, slotOf(acme, api), 2, &first)
	wantHeld(t, s, slotOf(acme, db), 1, first)
	second := mustCreate(t, s, ruled(acme, api))
	wantHeld(t, s, slotOf(acme, api), 3, second)
	second = mustChange(t, s, transition(second, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 4, &second)
	first = mustChange(t, s, reprojecting(first, api, db))
	first = mustChange(t, s, transition(first, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 6, &first)
	wantFree(t, s, slotOf(acme, web), 2, &first)
	second = mustChange(t, s, transition(second, incident.StatusWarning))
	wantHeld(t, s, slotOf(acme, api), 7, second)
	_, err := s.Apply(t.Context(), transition(first, incident.StatusOpen))
	wantHolder(t, "Apply() of a reopening", err, second.Incident.Key())
	_, err = s.Apply(t.Context(), creation(ruled(acme, api, web)))
	wantHolder(t, "Apply() of a new incident", err, second.Incident.Key())
	wantFree(t, s, slotOf(acme, web), 2, &first)
	second = mustChange(t, s, transition(second, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 8, &second)
	wantFree(t, s, slotOf(acme, db), 2, &first)
}

// The last holder belongs to the organization of the slot.
func loadSlotReturnsLastHoldersOfTheOrganization(t *trial, s incident.Store) {
	foreign := mustCreate(t, s, ruled(umbrella, api, web), firing(critical))
	mustCreate(t, s, draft(umbrella))
	mustCreate(t, s, draft(acme))
	wantFree(t, s, slotOf(acme, api), 0, nil)
	foreign = mustChange(t, s, transition(foreign, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 0, nil)
	own := mustCreate(t, s, ruled(acme, api))
	own = mustChange(t, s, transition(own, incident.StatusClosed))
	wantFree(t, s, slotOf(acme, api), 2, &own)
	wantFree(t, s, slotOf(umbrella, api), 2, &foreign)
	mustChange(t, s, transition(foreign, incident.StatusOpen))
	wantFree(t, s, slotOf(acme, api), 2, &own)
	wantFree(t, s, slotOf(acme, web), 0, nil)
}

// A transaction reads the last holder that its own writes have made. If the transaction is undone,
// the earlier last holder is read again.
func loadSlotReturnsTheLastHolderInTx(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	first := mustCreate(t, s, ruled(acme, api), firing(critical))
	first = mustChange(t, s, transition(first, incident.StatusClosed))
	replace := func(tx incident.Store) incident.State {
		wantFree(t, tx, slot, 2, &first)
		second := mustCreate(t, tx, ruled(acme, api), firing(warning))
		wantHeld(t, tx, slot, 3, second)
		second = mustChange(t, tx, transition(second, incident.StatusClosed))
		wantFree(t, tx, slot, 4, &second)
		second = mustChange(t, tx, retitling(second, "Newer"))
		wantFree(t, tx, slot, 4, &second)
		return second
	}
	for range 2 {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			replace(tx)
			return errUndo
		})
		wantError(t, "InTx()", err, errUndo)
		wantFree(t, s, slot, 2, &first)
	}
	var second incident.State
	mustInTx(t, s, func(tx incident.Store) error {
		second = replace(tx)
		return nil
	})
	wantFree(t, s, slot, 4, &second)
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		mustApply(t, tx, transition(first, incident.StatusOpen))
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantFree(t, s, slot, 4, &second)
	inc := ruled(acme, web)
	err = s.InTx(t.Context(), func(tx incident.Store) error {
		st := mustCreate(t, tx, inc)
		mustApply(t, tx, transition(st, incident.StatusClosed))
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantFree(t, s, slotOf(acme, web), 0, nil)
}

// LoadSlot returns a version and the last holder of the same moment. In this case both have the
// same version, and the slot is free at even versions.
func loadSlotReturnsTheLastHolderInOneRead(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	whileStamping(t, s, st, "LoadSlot", func(ctx context.Context) (int64, error) {
		got, err := s.LoadSlot(ctx, slotOf(acme, api))
		switch {
		case err != nil:
			return 0, err
		case (got.Last != nil) != (got.Version%2 == 0):
			return got.Version, fmt.Errorf("at version %d the last holder is %s", got.Version, show(got.Last))
		case got.Last == nil:
			return got.Version, nil
		case got.Last.Incident.Version != got.Version:
			return got.Version, fmt.Errorf("at version %d the last holder has version %d", got.Version, got.Last.Incident.Version)
		}
		return got.Version, checkStamp(*got.Last)
	})
}

// The caller may overwrite the last holder.
func memoryOfLastHoldersIsTheCallers(t *trial, s incident.Store) {
	inc := ruled(acme, api)
	inc.Labels, inc.Annotations = map[string]string{"team": "shop"}, map[string]string{"runbook": "text"}
	inc.Response = acknowledged(ada, bob, at(time.Minute))
	st := mustCreate(t, s, inc, firing(critical))
	mustApply(t, s, transition(st, incident.StatusClosed))
	before := mustFreeze(t, s)
	scribble(mustLoadSlot(t, s, slotOf(acme, api)))
	wantEqual(t, "the records, after the caller overwrote the last holder", mustFreeze(t, s), before)
}
