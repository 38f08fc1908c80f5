package storetest

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
)

func lastHolderFaults() []fault {
	last, several, inTx := "LoadSlot/ReturnsTheLastHolder", "LoadSlot/ReturnsTheLastOfSeveral", "LoadSlot/ReturnsTheLastHolderInTx"
	return []fault{
		{"NoLastHolder", lastly(func(_ incident.Store, st *incident.SlotState) { st.Last = nil }), []string{
			last, several, inTx, "LoadSlot/ReturnsLastHoldersOfTheOrganization",
		}},
		{"LastHolderHasNoTriggers", lastly(func(_ incident.Store, st *incident.SlotState) {
			if st.Last != nil {
				st.Last.Triggers = nil
			}
		}), []string{last, inTx}},
		{"HolderIsTheLastToo", lastly(func(_ incident.Store, st *incident.SlotState) {
			if st.State != nil {
				st.Last = st.State
			}
		}), []string{last, several, inTx}},
		{"UnclaimedHasALastHolder", unclaimedHasALastHolder, []string{last, "LoadSlot/ReturnsLastHoldersOfTheOrganization", inTx}},
		{"FirstHolderIsTheLast", firstHolderIsTheLast, []string{several, inTx}},
		{"LatestIncidentIsTheLast", lastly(latestIsTheLast), []string{several}},
		{"LastHolderMustBeClosed", lastly(func(_ incident.Store, st *incident.SlotState) {
			if st.Last != nil && st.Last.Incident.Status.Active() {
				st.Last = nil
			}
		}), []string{several}},
		{"LastHolderMustAffectTheProject", lastHolderMustAffectTheProject, []string{last, several}},
		{"LastHolderAsItLeft", lastHolderAsItLeft, []string{last, inTx}},
		{"LastHolderIsTwoReads", lastHolderIsTwoReads, []string{"LoadSlot/ReturnsTheLastHolderInOneRead"}},
		{"LastHolderOfAllOrganizations", lastHolderOfAllOrganizations, []string{"LoadSlot/ReturnsLastHoldersOfTheOrganization"}},
		{"LastHolderIsNotUndone", lastHolderIsNotUndone, []string{inTx}},
		{"LastHoldersAreShared", lastHoldersAreShared, []string{"Memory/OfLastHoldersIsTheCallers"}},
	}
}

// lastly changes the result of LoadSlot, in transactions too.
func lastly(alter func(s incident.Store, st *incident.SlotState)) func(s incident.Store) incident.Store {
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: withTx(s, plant).InTx, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			alter(s, &st)
			return st, err
		}}
	}
	return plant
}

// unclaimedHasALastHolder takes the first incident of an organization for the last holder.
func unclaimedHasALastHolder(s incident.Store) incident.Store {
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: withTx(s, plant).InTx, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			first, err2 := s.Load(ctx, incident.Key{OrganizationID: slot.OrganizationID, Identifier: 1})
			if err == nil && err2 == nil && st.Version == 0 {
				st.Last = &first
			}
			return st, err
		}}
	}
	return plant(s)
}

// loadLast replaces the last holder by another incident.
func loadLast(s incident.Store, st *incident.SlotState, key incident.Key) {
	if other, err := s.Load(context.Background(), key); err == nil && st.Last != nil {
		st.Last = &other
	}
}

// firstHolderIsTheLast never replaces a last holder.
func firstHolderIsTheLast(s incident.Store) incident.Store {
	var firsts registry[incident.Slot, incident.Key]
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: withTx(s, plant).InTx, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			if st.Last != nil {
				loadLast(s, &st, once(&firsts, slot, st.Last.Incident.Key()))
			}
			return st, err
		}}
	}
	return plant(s)
}

// latestIsTheLast takes the incident with the highest identifier for the last holder.
func latestIsTheLast(s incident.Store, st *incident.SlotState) {
	if st.Last == nil {
		return
	}
	key := st.Last.Incident.Key()
	for err := error(nil); err == nil; key.Identifier++ {
		loadLast(s, st, key)
		_, err = s.Load(context.Background(), incident.Key{OrganizationID: key.OrganizationID, Identifier: key.Identifier + 1})
	}
}

// lastHolderMustAffectTheProject finds the last holder by its present projects.
func lastHolderMustAffectTheProject(s incident.Store) incident.Store {
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		if st.Last != nil && len(without([]incident.ProjectID{slot.ProjectID}, st.Last.Incident.Projects)) > 0 {
			st.Last = nil
		}
		return st, err
	}}
}

// lastHolderAsItLeft returns the state of the time when the slot became free.
func lastHolderAsItLeft(s incident.Store) incident.Store {
	var states registry[incident.SlotVersion, incident.State]
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: withTx(s, plant).InTx, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			if st.Last != nil {
				st.Last = new(once(&states, incident.SlotVersion{Slot: slot, Version: st.Version}, *st.Last))
			}
			return st, err
		}}
	}
	return plant(s)
}

func lastHolderIsTwoReads(s incident.Store) incident.Store {
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		pause()
		if st.Last == nil {
			return st, err
		}
		now, err2 := s.Load(ctx, st.Last.Incident.Key())
		st.Last = &now
		return st, errors.Join(err, err2)
	}}
}

// lastHolderOfAllOrganizations looks for the last holder by its identifier alone.
func lastHolderOfAllOrganizations(s incident.Store) incident.Store {
	return lastly(func(s incident.Store, st *incident.SlotState) {
		if st.Last != nil {
			loadLast(s, st, incident.Key{OrganizationID: umbrella, Identifier: st.Last.Incident.Identifier})
		}
	})(s)
}

// lastHolderIsNotUndone keeps the last holders of transactions that were undone.
func lastHolderIsNotUndone(s incident.Store) incident.Store {
	var lasts registry[incident.Slot, *incident.State]
	seen := func(s incident.Store) incident.Store {
		return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			st, err := s.LoadSlot(ctx, slot)
			lasts.put(slot, st.Last)
			return st, err
		}}
	}
	return &broken{Store: s, inTx: withTx(s, seen).InTx, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		if last, known := lasts.get(slot); known && st.Last != nil {
			st.Last = last
		}
		return st, err
	}}
}

func lastHoldersAreShared(s incident.Store) incident.Store {
	var all registry[incident.Slot, incident.SlotState]
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		if st.Last == nil {
			return st, err
		}
		return once(&all, slot, st), err
	}}
}
