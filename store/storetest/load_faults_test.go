package storetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// pause lets other goroutines run between two steps that should be one.
func pause() {
	runtime.Gosched()
	time.Sleep(2 * time.Millisecond) // long enough on a busy machine
}

func readFaults() []fault {
	return []fault{
		{"TriggersUnordered", triggersUnordered, []string{"Load/ReturnsTheState", "Apply/ReplacesTriggersByName"}},
		{"LoadIsTwoReads", loadIsTwoReads, []string{"Load/IsOneRead"}},
		{"LoadSlotIsTwoReads", loadSlotIsTwoReads, []string{"LoadSlot/IsOneRead"}},
		{"LoadDetailsIsTwoReads", loadDetailsIsTwoReads, []string{"LoadDetails/IsOneRead"}},
		{"UnclaimedSlotNotFound", unclaimedSlotNotFound, []string{"LoadSlot/IsZeroWhenUnclaimed"}},
		{"SlotHasNoTriggers", slotHasNoTriggers, []string{"LoadSlot/ReturnsTheHolder"}},
		{"DetailsOfAnyUser", detailsOfAnyUser, []string{"LoadDetails/IsAboutTheUser"}},
		{"DetailsNeedAViewer", detailsNeedAViewer, []string{"LoadDetails/OfABareIncident"}},
		{"UnknownIsEmpty", unknownIsEmpty, []string{
			"Activities/ReturnsErrNotFound", "SeenBy/ReturnsErrNotFound", "Subscribers/ReturnsErrNotFound",
			"Load/ReturnsErrNotFound", "LoadDetails/ReturnsErrNotFound",
		}},
		{"SharedChanges", sharedChanges, []string{"Store/SharedIsConstant"}},
	}
}

func triggersUnordered(s incident.Store) incident.Store {
	return &broken{Store: s, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
		st, err := s.Load(ctx, key)
		slices.Reverse(st.Triggers)
		return st, err
	}}
}

func loadIsTwoReads(s incident.Store) incident.Store {
	return &broken{Store: s, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
		first, err1 := s.Load(ctx, key)
		pause()
		second, err2 := s.Load(ctx, key)
		return incident.State{Incident: first.Incident, Triggers: second.Triggers}, errors.Join(err1, err2)
	}}
}

func loadSlotIsTwoReads(s incident.Store) incident.Store {
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		first, err1 := s.LoadSlot(ctx, slot)
		pause()
		second, err2 := s.LoadSlot(ctx, slot)
		return incident.SlotState{Version: first.Version, State: second.State}, errors.Join(err1, err2)
	}}
}

func loadDetailsIsTwoReads(s incident.Store) incident.Store {
	return &broken{Store: s, loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
		first, err1 := s.LoadDetails(ctx, key, user)
		pause()
		second, err2 := s.LoadDetails(ctx, key, user)
		first.Triggers = second.Triggers
		return first, errors.Join(err1, err2)
	}}
}

func unclaimedSlotNotFound(s incident.Store) incident.Store {
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		if err == nil && st.Version == 0 {
			err = incident.ErrNotFound
		}
		return st, err
	}}
}

func slotHasNoTriggers(s incident.Store) incident.Store {
	return &broken{Store: s, loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		if st.State != nil {
			st.State.Triggers = nil
		}
		return st, err
	}}
}

func detailsOfAnyUser(s incident.Store) incident.Store {
	return &broken{Store: s, loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
		d, err := s.LoadDetails(ctx, key, user)
		d.HasSeen = len(d.SeenBy) > 0
		return d, err
	}}
}

// detailsNeedAViewer uses an inner join for an outer join.
func detailsNeedAViewer(s incident.Store) incident.Store {
	return &broken{Store: s, loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
		d, err := s.LoadDetails(ctx, key, user)
		if err == nil && len(d.SeenBy) == 0 {
			return incident.Details{}, incident.ErrNotFound
		}
		return d, err
	}}
}

// empty returns no error for unknown incidents.
func empty[T any](v T, err error) (T, error) {
	if errors.Is(err, incident.ErrNotFound) {
		err = nil
	}
	return v, err
}

func unknownIsEmpty(s incident.Store) incident.Store {
	return &broken{
		Store: s,
		load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			return empty(s.Load(ctx, key))
		},
		loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
			return empty(s.LoadDetails(ctx, key, user))
		},
		activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			return empty(s.Activities(ctx, key, q))
		},
		seenBy: func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
			return empty(s.SeenBy(ctx, key))
		},
		subscribers: func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
			return empty(s.Subscribers(ctx, key))
		},
	}
}

func sharedChanges(s incident.Store) incident.Store {
	var asked registry[string, bool]
	return &broken{Store: s, shared: func() bool { return asked.put("", true) }}
}
