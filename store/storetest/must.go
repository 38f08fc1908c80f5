package storetest

import (
	"errors"
	"math"

	"github.com/incidentkit/incident"
)

// everything is a limit above the number of records of a case.
const everything = 101

func mustApply(t *trial, s incident.Store, c incident.Change) incident.Applied {
	t.Helper()
	applied, err := s.Apply(t.Context(), c)
	if err != nil {
		t.Fatalf("Apply(%s) = %v, want no error", c.Key, err)
	}
	return applied
}

// mustCreate creates an incident and returns its state as the store has it.
func mustCreate(t *trial, s incident.Store, inc incident.Incident, triggers ...incident.Trigger) incident.State {
	t.Helper()
	applied := mustApply(t, s, creation(inc, triggers...))
	if applied.Replayed {
		t.Fatalf("Apply() of a new incident of %q was replayed", inc.OrganizationID)
	}
	return mustLoad(t, s, applied.Incident.Key())
}

// mustChange applies c and returns the state after it.
func mustChange(t *trial, s incident.Store, c incident.Change) incident.State {
	t.Helper()
	if mustApply(t, s, c).Replayed {
		t.Fatalf("Apply(%s) of a new change was replayed", c.Key)
	}
	return mustLoad(t, s, c.Key)
}

// mustComment adds a comment and returns it as the store has it. If the store does not
// implement Activity, mustComment returns the comment as it must be stored.
func mustComment(t *trial, s incident.Store, key incident.Key, text string) incident.Activity {
	t.Helper()
	c := comment(key, text)
	a := numbered(c, key, mustApply(t, s, c).Sequence)[0]
	mustIfImplemented(t, "Activity", func() error {
		stored, err := s.Activity(t.Context(), key, a.Sequence)
		if err == nil {
			a = stored
		}
		return err
	})
	return a
}

// mustIfImplemented makes a call that must succeed unless the store does not implement the
// method.
func mustIfImplemented(t *trial, method string, call func() error) {
	t.Helper()
	if err := ifImplemented(call); err != nil {
		t.Fatalf("%s = %v, want no error", method, err)
	}
}

func mustLoad(t *trial, s incident.Store, key incident.Key) incident.State {
	t.Helper()
	st, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatalf("Load(%s) = %v, want no error", key, err)
	}
	return st
}

func mustLoadSlot(t *trial, s incident.Store, slot incident.Slot) incident.SlotState {
	t.Helper()
	st, err := s.LoadSlot(t.Context(), slot)
	if err != nil {
		t.Fatalf("LoadSlot(%+v) = %v, want no error", slot, err)
	}
	return st
}

func mustLoadDetails(t *trial, s incident.Store, key incident.Key, user incident.UserID) incident.Details {
	t.Helper()
	d, err := s.LoadDetails(t.Context(), key, user)
	if err != nil {
		t.Fatalf("LoadDetails(%s, %q) = %v, want no error", key, user, err)
	}
	return d
}

func mustIncidents(t *trial, s incident.Store, q incident.IncidentQuery) []incident.Incident {
	t.Helper()
	incidents, err := s.Incidents(t.Context(), q)
	if err != nil {
		t.Fatalf("Incidents(%s) = %v, want no error", show(q), err)
	}
	return incidents
}

func mustActivities(t *trial, s incident.Store, key incident.Key, q incident.ActivityQuery) []incident.Activity {
	t.Helper()
	log, err := s.Activities(t.Context(), key, q)
	if err != nil {
		t.Fatalf("Activities(%s, %+v) = %v, want no error", key, q, err)
	}
	return log.Activities
}

func mustActivity(t *trial, s incident.Store, key incident.Key, sequence int64) incident.Activity {
	t.Helper()
	a, err := s.Activity(t.Context(), key, sequence)
	if err != nil {
		t.Fatalf("Activity(%s, %d) = %v, want no error", key, sequence, err)
	}
	return a
}

func mustRevise(t *trial, s incident.Store, a incident.Activity) {
	t.Helper()
	if err := s.ReviseActivity(t.Context(), a); err != nil {
		t.Fatalf("ReviseActivity(%s, %d) = %v, want no error", a.Incident, a.Sequence, err)
	}
}

func mustMarkSeen(t *trial, s incident.Store, seen incident.Seen) incident.Seen {
	t.Helper()
	stored, err := s.MarkSeen(t.Context(), seen)
	if err != nil {
		t.Fatalf("MarkSeen(%s, %q) = %v, want no error", seen.Incident, seen.UserID, err)
	}
	return stored
}

func mustSeenBy(t *trial, s incident.Store, key incident.Key) []incident.Seen {
	t.Helper()
	seen, err := s.SeenBy(t.Context(), key)
	if err != nil {
		t.Fatalf("SeenBy(%s) = %v, want no error", key, err)
	}
	return seen
}

func mustSubscribe(t *trial, s incident.Store, sub incident.Subscription) incident.Subscription {
	t.Helper()
	stored, err := s.Subscribe(t.Context(), sub)
	if err != nil {
		t.Fatalf("Subscribe(%s, %q) = %v, want no error", sub.Incident, sub.UserID, err)
	}
	return stored
}

func mustUnsubscribe(t *trial, s incident.Store, key incident.Key, user incident.UserID) {
	t.Helper()
	if err := s.Unsubscribe(t.Context(), key, user); err != nil {
		t.Fatalf("Unsubscribe(%s, %q) = %v, want no error", key, user, err)
	}
}

func mustSubscribers(t *trial, s incident.Store, key incident.Key) []incident.Subscription {
	t.Helper()
	subs, err := s.Subscribers(t.Context(), key)
	if err != nil {
		t.Fatalf("Subscribers(%s) = %v, want no error", key, err)
	}
	return subs
}

func mustInTx(t *trial, s incident.Store, fn func(tx incident.Store) error) {
	t.Helper()
	if err := s.InTx(t.Context(), fn); err != nil {
		t.Fatalf("InTx() = %v, want no error", err)
	}
}

// wantError checks that an error matches want.
func wantError(t *trial, call string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want an error that matches %q", call, got, want)
	}
}

// wantHolder checks that the error is a conflict with any of the holders.
func wantHolder(t *trial, call string, got error, holders ...incident.Key) {
	t.Helper()
	var conflict *incident.ConflictError
	if !errors.As(got, &conflict) {
		t.Errorf("%s = %v, want a *ConflictError", call, got)
		return
	}
	for _, holder := range holders {
		if conflict.Existing == holder {
			return
		}
	}
	t.Errorf("%s names %s as the holder, want one of %v", call, conflict.Existing, holders)
}

// identifiersOf returns the identifiers of the incidents, in the given order.
func identifiersOf(incidents []incident.Incident) []int64 {
	ids := make([]int64, len(incidents))
	for i, inc := range incidents {
		ids[i] = inc.Identifier
	}
	return ids
}

// unknownKeys returns keys of no incident, for a store in which acme has one incident
// and umbrella has two.
func unknownKeys() []incident.Key {
	return []incident.Key{
		{OrganizationID: "nobody", Identifier: 1},
		{OrganizationID: acme, Identifier: 2}, // umbrella's
		{OrganizationID: acme, Identifier: 3},
		{OrganizationID: acme, Identifier: math.MaxInt64},
	}
}
