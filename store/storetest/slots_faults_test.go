package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

func slotFaults() []fault {
	return []fault{
		{"SlotsNotEnforced", slotsNotEnforced, []string{
			"Slots/AreHeldByOne", "Slots/HaveOneWinner", "Slots/AdmitOneReopening", "Slots/CountUnderConcurrency",
		}},
		{"OnlyFirstSlotEnforced", onlyFirstSlotEnforced, []string{"Slots/AreClaimedTogether"}},
		{"OnlyLastSlotEnforced", onlyLastSlotEnforced, []string{"Slots/AreClaimedTogether"}},
		{"FreeSlotsAreTaken", freeSlotsAreTaken, []string{"Slots/AreClaimedTogether"}},
		{"SlotsCheckedBefore", slotsCheckedBefore, []string{"Slots/HaveOneWinner", "Slots/AdmitOneReopening"}},
		{"NoQueryNotEnforced", noQueryNotEnforced, []string{"Slots/WithoutAQueryAreHeldByOne"}},
		{"QueryIgnored", queryIgnored, []string{"Slots/DifferInEachField"}},
		{"ReleaseDoesNotCount", releaseDoesNotCount, []string{"Slots/CountClaimsAndReleases", "Slots/CountUnderConcurrency"}},
		{"SlotsAreKept", slotsAreKept, []string{"Slots/AreFreeWhenReleased", "Slots/MoveWithinAChange"}},
		{"ReleasedBeforeTheClaim", releasedBeforeTheClaim, []string{"Slots/MoveWithinAChange"}},
		{"SlotsBeforeTheVersion", slotsBeforeTheVersion, []string{"Slots/AreClaimedAfterTheVersionCheck"}},
		{"HolderNotNamed", holderNotNamed, []string{"Slots/AreHeldByOne"}},
		{"HalfApplied", halfApplied, []string{"Slots/AreHeldByOne"}},
	}
}

func isTaken(err error) bool {
	_, taken := errors.AsType[*incident.ConflictError](err)
	return taken
}

// forgivingSlots applies a refused change again with the remaining claims.
func forgivingSlots(s incident.Store, remaining func(ctx context.Context, claim []incident.Slot) []incident.Slot) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isTaken(err) {
			c.Claim = remaining(ctx, c.Claim)
			return s.Apply(ctx, c)
		}
		return applied, err
	})
}

func slotsNotEnforced(s incident.Store) incident.Store {
	return forgivingSlots(s, func(context.Context, []incident.Slot) []incident.Slot { return nil })
}

func onlyFirstSlotEnforced(s incident.Store) incident.Store {
	return forgivingSlots(s, func(_ context.Context, claim []incident.Slot) []incident.Slot { return claim[:1] })
}

func onlyLastSlotEnforced(s incident.Store) incident.Store {
	return forgivingSlots(s, func(_ context.Context, claim []incident.Slot) []incident.Slot { return claim[len(claim)-1:] })
}

func noQueryNotEnforced(s incident.Store) incident.Store {
	return forgivingSlots(s, func(_ context.Context, claim []incident.Slot) []incident.Slot {
		return slices.DeleteFunc(slices.Clone(claim), func(slot incident.Slot) bool { return slot.QueryID == "" })
	})
}

// freeSlotsAreTaken claims the free slots of a change that is refused.
func freeSlotsAreTaken(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isTaken(err) {
			_, _ = s.Apply(ctx, incident.Change{Key: incident.Key{OrganizationID: acme, Identifier: 1}, Claim: c.Claim[:1]})
		}
		return applied, err
	})
}

// slotsCheckedBefore checks the slots in a call before the write.
func slotsCheckedBefore(s incident.Store) incident.Store {
	unchecked := slotsNotEnforced(s)
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		for _, slot := range c.Claim {
			if st, err := s.LoadSlot(ctx, slot); err != nil || st.State != nil {
				return s.Apply(ctx, c)
			}
		}
		pause()
		return unchecked.Apply(ctx, c)
	})
}

func queryIgnored(s incident.Store) incident.Store {
	ignore := func(slots []incident.Slot) {
		for i := range slots {
			slots[i].QueryID = ""
		}
	}
	return altering(s, func(_ context.Context, c *incident.Change) {
		ignore(c.Claim)
		ignore(c.Release)
	})
}

func releaseDoesNotCount(s incident.Store) incident.Store {
	var released registry[incident.Slot, int64]
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if err == nil && !applied.Replayed {
				for _, slot := range c.Release {
					n, _ := released.get(slot)
					released.put(slot, n+1)
				}
			}
			for i, slot := range applied.Slots {
				n, _ := released.get(slot.Slot)
				applied.Slots[i].Version -= n
			}
			return applied, err
		},
		loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			n, _ := released.get(slot)
			st.Version -= n
			return st, err
		},
	}
}

func slotsAreKept(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) { c.Release = nil })
}

// releasedBeforeTheClaim releases slots even if the claim fails.
func releasedBeforeTheClaim(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isTaken(err) && !isNew(c) {
			_, _ = s.Apply(ctx, incident.Change{Key: c.Key, Release: c.Release})
		}
		return applied, err
	})
}

func slotsBeforeTheVersion(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		for _, slot := range c.Claim {
			st, err := s.LoadSlot(ctx, slot)
			if err == nil && st.State != nil && st.State.Incident.Key() != c.Key {
				return incident.Applied{}, &incident.ConflictError{Existing: st.State.Incident.Key()}
			}
		}
		return s.Apply(ctx, c)
	})
}

func holderNotNamed(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isTaken(err) {
			err = &incident.ConflictError{Existing: c.Key}
		}
		return applied, err
	})
}

// halfApplied writes activities before it claims slots.
func halfApplied(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isTaken(err) && !isNew(c) {
			_, _ = s.Apply(ctx, incident.Change{Key: c.Key, Activities: c.Activities})
		}
		return applied, err
	})
}
