package storetest

import (
	"errors"

	"github.com/incidentkit/incident"
)

// Concurrent use of all methods on a few incidents leaves consistent records.
func storeIsSafeForConcurrentUse(t *trial, s incident.Store) {
	worlds := []world{mustWorld(t, s, acme), mustWorld(t, s, umbrella)}
	t.together(8, func(i int) {
		for n := range 12 {
			w := worlds[(i+n)%2]
			for _, op := range operations() {
				if _, err := op.do(t.Context(), s, w); err != nil && !errors.Is(err, incident.ErrConflict) {
					t.Errorf("%s = %v, want no error", op.name, err)
				}
			}
		}
	})
	for _, w := range worlds {
		wantConsistent(t, mustSnapshot(t, s, w.org()))
	}
}

// wantConsistent checks invariants of an organization's records.
func wantConsistent(t *trial, snap snapshot) {
	t.Helper()
	wantEqual(t, "the identifiers", numbersOf(snap).Identifiers, upTo(len(snap.Incidents)))
	holders := map[incident.Slot]incident.State{}
	for _, r := range snap.Incidents {
		if n := len(r.Activities.Activities); n < everything {
			wantEqual(t, "the sequences", sequencesOf(r.Activities.Activities), upTo(n))
		}
		wantEqual(t, "the details' incidents", r.Details.Incident, r.State.Incident)
		wantEqual(t, "the details' triggers", r.Details.Triggers, r.State.Triggers)
		wantEqual(t, "the details' viewers", r.Details.SeenBy, r.SeenBy)
		for _, slot := range slotsOf(r.State.Incident) {
			if other, taken := holders[slot]; taken {
				t.Errorf("slot %+v has two holders, %d and %d", slot, other.Incident.Identifier, r.State.Incident.Identifier)
			}
			holders[slot] = r.State
		}
	}
	for _, slot := range snap.Slots {
		holder, held := holders[slot.Slot]
		if got := slot.State.State; held != (got != nil) || held && !equal(*got, holder) {
			t.Errorf("slot %+v holds %s, but its incident is %s", slot.Slot, show(got), show(holder))
		}
	}
}

// Shared always returns the same, in a transaction too.
func sharedIsConstant(t *trial, s incident.Store) {
	want := s.Shared()
	w := mustWorld(t, s, acme)
	mustInTx(t, s, func(tx incident.Store) error {
		mustCall(t, tx, operation{"Apply", applyNew}, w)
		if got := tx.Shared(); got != want {
			t.Errorf("Shared() of a transaction = %v, want %v", got, want)
		}
		return nil
	})
	t.together(4, func(int) {
		if got := s.Shared(); got != want {
			t.Errorf("Shared() = %v, want %v as before", got, want)
		}
	})
}
