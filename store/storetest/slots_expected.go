package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// expecting returns the change with the version that a slot must have.
func expecting(c incident.Change, slot incident.Slot, version int64) incident.Change {
	c.ExpectSlot = &incident.SlotVersion{Slot: slot, Version: version}
	return c
}

// A change that expects another version of a slot than the stored version writes nothing. A slot
// that was never claimed has version 0.
func slotsAreExpectedInAVersion(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	wantRefused := func(c incident.Change, versions ...int64) {
		t.Helper()
		wantUnchanged(t, s, acme, func() {
			for _, version := range versions {
				_, err := s.Apply(t.Context(), expecting(c, slot, version))
				wantError(t, fmt.Sprintf("Apply() that expects version %d of a slot", version), err, incident.ErrVersionConflict)
			}
		})
	}
	c := creation(ruled(acme, api, db), firing(critical))
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: eve, DateAdded: t0}}
	wantRefused(c, 1, 2, -1)
	applied := mustApply(t, s, expecting(c, slot, 0))
	wantSlots(t, applied, incident.SlotVersion{Slot: slot, Version: 1}, incident.SlotVersion{Slot: slotOf(acme, db), Version: 1})

	st := mustLoad(t, s, applied.Incident.Key())
	wantEqual(t, "the identifier after changes that failed", st.Incident.Identifier, int64(1))
	st = mustChange(t, s, transition(st, incident.StatusClosed))
	reopening := transition(st, incident.StatusWarning)
	wantRefused(reopening, 0, 1, 3)
	wantRefused(withNewUUIDs(c), 0, 1, 3)
	st = mustChange(t, s, expecting(reopening, slot, 2))
	wantHeld(t, s, slot, 3, st)
	st = mustChange(t, s, reprojecting(st, web))
	joining := reprojecting(st, api, web)
	wantRefused(joining, 0, 2, 3)
	mustApply(t, s, expecting(joining, slot, 4))
}

// The other slots of a change may have any version.
func slotsAreExpectedAlone(t *trial, s incident.Store) {
	for range 2 {
		st := mustCreate(t, s, ruled(acme, db))
		mustApply(t, s, transition(st, incident.StatusClosed))
	}
	applied := mustApply(t, s, expecting(creation(ruled(acme, api, db, web)), slotOf(acme, web), 0))
	wantSlots(t, applied, incident.SlotVersion{Slot: slotOf(acme, api), Version: 1},
		incident.SlotVersion{Slot: slotOf(acme, db), Version: 5}, incident.SlotVersion{Slot: slotOf(acme, web), Version: 1})
	st := mustChange(t, s, transition(mustLoad(t, s, applied.Incident.Key()), incident.StatusClosed))
	mustApply(t, s, expecting(transition(st, incident.StatusOpen), slotOf(acme, db), 6))

	mustCreate(t, s, ruled(umbrella, "zoo"))
	mustApply(t, s, expecting(creation(ruled(acme, "zoo")), slotOf(acme, "zoo"), 0))
	other := ruled(acme, api)
	other.QueryID = "p50" // another slot
	mustApply(t, s, expecting(creation(other), slotsOf(other)[0], 0))
}

// The expected version is checked last: a repeated change is replayed, an unknown incident is not
// found, and a conflict names the holder.
func slotsAreExpectedAfterOtherChecks(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	detection := uuid.New()
	c := expecting(creationWith(detection, ruled(acme, api)), slot, 0)
	first := mustApply(t, s, c)
	mustReplay(t, s, c)
	mustReplay(t, s, withNewUUIDs(c))
	holder := mustLoad(t, s, first.Incident.Key())
	other := mustCreate(t, s, ruled(acme, db))
	unknown := expecting(retitling(other, "Unknown"), slot, 9)
	unknown.Key.Identifier, unknown.Incident.Identifier, unknown.Claim = 99, 99, []incident.Slot{slot}
	wantUnchanged(t, s, acme, func() {
		for _, version := range []int64{0, 1, 2} {
			_, err := s.Apply(t.Context(), expecting(creation(ruled(acme, api)), slot, version))
			wantHolder(t, fmt.Sprintf("Apply() of a taken slot that expects version %d", version), err, holder.Incident.Key())
			_, err = s.Apply(t.Context(), expecting(creation(ruled(acme, api, web)), slotOf(acme, web), version))
			wantHolder(t, fmt.Sprintf("Apply() of a taken slot that expects version %d of another", version), err, holder.Incident.Key())
		}
		_, err := s.Apply(t.Context(), unknown)
		wantError(t, "Apply() of an unknown incident", err, incident.ErrNotFound)
	})
	closing := transition(holder, incident.StatusClosed)
	mustApply(t, s, closing)
	mustReplay(t, s, c)
	mustReplay(t, s, expecting(closing, slot, 9))
	said := comment(other.Incident.Key(), "text")
	mustApply(t, s, said)
	foreign := expecting(creation(ruled(acme, api)), slot, 9)
	foreign.Key, foreign.Incident.Identifier = holder.Incident.Key(), 1
	foreign.Activities = said.Activities
	_, err := s.Apply(t.Context(), foreign)
	wantError(t, "Apply() of another incident's UUID", err, incident.ErrConflict)
	if errors.Is(err, incident.ErrVersionConflict) {
		t.Errorf("Apply() of another incident's UUID = %v, want no version conflict", err)
	}
}

// In a transaction the expected version is that after the transaction's own writes. The transaction
// may continue after a version conflict.
func slotsAreExpectedInTx(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	st := mustCreate(t, s, ruled(acme, api))
	for _, end := range []error{errUndo, nil} {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustApply(t, tx, transition(st, incident.StatusClosed))
			c := creation(ruled(acme, api, db))
			for _, version := range []int64{0, 1, 3} {
				_, err := tx.Apply(t.Context(), expecting(c, slot, version))
				wantError(t, fmt.Sprintf("Apply() in a transaction that expects version %d", version), err, incident.ErrVersionConflict)
			}
			mustApply(t, tx, expecting(c, slot, 2))
			return end
		})
		if !errors.Is(err, end) {
			t.Fatalf("InTx() = %v, want %v", err, end)
		}
	}
	second := mustLoad(t, s, incident.Key{OrganizationID: acme, Identifier: 2})
	wantHeld(t, s, slot, 3, second)
	wantHeld(t, s, slotOf(acme, db), 1, second)
}

// A writer that waits for a transaction is compared with the version after the commit, even if the
// transaction leaves the slot as free as it was.
func slotsAreExpectedAfterTheCommit(t *trial, s incident.Store) {
	slot := slotOf(acme, api)
	for range 3 {
		version := mustLoadSlot(t, s, slot).Version
		var waiting <-chan struct{}
		var failure error
		mustInTx(t, s, func(tx incident.Store) error {
			st := mustCreate(t, tx, ruled(acme, api))
			mustApply(t, tx, transition(st, incident.StatusClosed))
			waiting = t.start(func() {
				_, failure = s.Apply(t.Context(), expecting(creation(ruled(acme, api)), slot, version))
			})
			time.Sleep(20 * time.Millisecond) // for the writer to wait
			return nil
		})
		<-waiting
		wantError(t, "Apply() that waits for a transaction in the slot", failure, incident.ErrVersionConflict)
		wantEqual(t, "the version of the slot", mustLoadSlot(t, s, slot).Version, version+2)
	}
}

// Concurrent creations and reopenings are decided on the same versions of a slot, while another
// writer opens and closes incidents in the slot. A single decision on a version succeeds.
func slotsAdmitOneDecisionOnAVersion(t *trial, s incident.Store) {
	const deciders, each = 6, 6
	slot := slotOf(acme, api)
	var (
		mu   sync.Mutex // guards wins
		wins = map[int64]int{}
	)
	closed := make([]incident.State, deciders)
	for i := range closed {
		closed[i] = mustChange(t, s, transition(mustCreate(t, s, ruled(acme, api)), incident.StatusClosed))
	}
	var churns atomic.Int64
	t.together(deciders+1, func(i int) {
		for range each {
			if i == deciders {
				opened, err := openAndClose(t, s, creation(ruled(acme, api)))
				if err != nil {
					t.Error(err)
				}
				churns.Add(opened)
				continue
			}
			version, err := decideOnSlot(t, s, slot, &closed[i], i%2 == 0)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			wins[version]++
			mu.Unlock()
		}
	})
	won := int64(0)
	for version, n := range wins {
		if version >= 0 {
			won++
			if n != 1 {
				t.Errorf("%d decisions on version %d of a slot succeeded, want 1", n, version)
			}
		}
	}
	if got, want := mustLoadSlot(t, s, slot).Version, 2*(deciders+won+churns.Load()); got != want {
		t.Errorf("after %d decisions and %d other openings the slot has version %d, want %d", won, churns.Load(), got, want)
	}
	wantOneDecision(t, s, slot)
	for range 3 {
		wantOneDecision(t, s, slotOf(acme, incident.ProjectID(uuid.NewString()))) // was never claimed
	}
}

// decideOnSlot reads the slot, and reopens the closed incident or creates another if the slot is
// free. It returns the version of a decision that succeeded, otherwise -1, and closes the incident.
func decideOnSlot(t *trial, s incident.Store, slot incident.Slot, closed *incident.State, reopen bool) (int64, error) {
	got, err := s.LoadSlot(t.Context(), slot)
	if err != nil || got.State != nil {
		return -1, err
	}
	c := creation(ruled(slot.OrganizationID, slot.ProjectID))
	if reopen {
		c = transition(*closed, incident.StatusOpen)
	}
	applied, err := s.Apply(t.Context(), expecting(c, slot, got.Version))
	if errors.Is(err, incident.ErrConflict) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if want := got.Version + 1; len(applied.Slots) != 1 || applied.Slots[0].Version != want {
		t.Errorf("a decision on version %d of a slot made %v, want version %d", got.Version, applied.Slots, want)
	}
	end, err := s.Apply(t.Context(), transition(incident.State{Incident: applied.Incident}, incident.StatusClosed))
	if reopen {
		closed.Incident = end.Incident
	}
	return got.Version, err
}

// openAndClose applies a creation and closes its incident. It returns the number of incidents: 0 if
// the slot is taken.
func openAndClose(t *trial, s incident.Store, c incident.Change) (int64, error) {
	applied, err := s.Apply(t.Context(), c)
	if _, taken := errors.AsType[*incident.ConflictError](err); taken {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, err = s.Apply(t.Context(), transition(incident.State{Incident: applied.Incident}, incident.StatusClosed))
	return 1, err
}

// wantOneDecision makes several decisions at once on the present version of a free slot. A winner
// closes its incident, so that the losers find a free slot of a later version.
func wantOneDecision(t *trial, s incident.Store, slot incident.Slot) {
	t.Helper()
	const deciders, rounds = 8, 3
	for range rounds {
		version := mustLoadSlot(t, s, slot).Version
		var won atomic.Int32
		t.together(deciders, func(int) {
			opened, err := openAndClose(t, s, expecting(creation(ruled(slot.OrganizationID, slot.ProjectID)), slot, version))
			won.Add(int32(opened))
			if err != nil {
				wantError(t, "Apply() of a loser", err, incident.ErrVersionConflict)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of %d decisions on version %d of a slot succeeded, want 1", won.Load(), deciders, version)
		}
	}
}
