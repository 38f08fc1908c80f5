package incident

import (
	"slices"
	"time"
)

// decision is the outcome of applying a rule: the new state (the same pointer if nothing
// changed) and the records to append. before is nil for a new incident.
type decision struct {
	before, after *State
	activities    []Activity
	subscriptions []Subscription

	// mustAdmit is a user who must have access to the incident. Empty for nobody.
	mustAdmit UserID

	// expectSlot is the version of the free slot on which the rule decided. Nil if the rule
	// is right for any version.
	expectSlot *SlotVersion

	// slots is empty memory for the slots of after. May be nil.
	slots []Slot
}

// view is the subject of a write as a rule sees it.
type view struct {
	// state is the state of the incident, or of the holder of a slot. Nil for a free slot.
	state *State

	// last is the state of the last holder of a free slot, and slotVersion its version.
	// They are known only if the view is fresh.
	last        *State
	slotVersion int64

	// fresh reports that the view was read from the store during the call.
	fresh bool

	// blocked reports that last cannot be reopened: another incident occupies one of its
	// other slots.
	blocked bool
}

// rule decides a write on a view. It is pure, and must not change the states. A refusal on a
// view that is not fresh makes the write decide again, on a fresh view.
type rule func(v view) (decision, error)

func unchanged(s *State) decision { return decision{before: s, after: s} }

// subscriptions returns the records that subscribe users to an incident.
func subscriptions(key Key, users []UserID, added time.Time) []Subscription {
	subs := make([]Subscription, len(users))
	for i, u := range users {
		subs[i] = Subscription{Incident: key, UserID: u, DateAdded: added}
	}
	return subs
}

// changeOf returns the write that carries out a decision: the difference of its two states,
// and the records to append. If the states are equal, the row and its version stay unchanged.
// The change uses the memory of d.after, and sets its Version.
func changeOf(d decision) Change {
	c := Change{Activities: d.activities, Subscriptions: d.subscriptions}
	if d.after == nil {
		return c
	}
	c.Key = d.after.Incident.key()
	if d.after == d.before {
		return c
	}
	before, after := d.before, d.after
	if before == nil {
		before = &noState
	}
	c.Triggers = changedTriggers(before.Triggers, after.Triggers)
	if len(c.Triggers) == 0 && after.Incident.equal(&before.Incident) {
		return c
	}
	c.Incident = &after.Incident
	c.ExpectVersion, c.ExpectWrite = before.Incident.Version, before.WriteID
	c.Incident.Version = c.ExpectVersion + 1
	c.EndReminders = before.Incident.Status.Active() && !after.Incident.Status.Active()
	c.StartedBefore, c.ExpectSlot = before.Incident.DateStarted, d.expectSlot
	c.AddLabels = changedLabels(after.Incident.Labels, before.Incident.Labels)
	c.RemoveLabels = changedLabels(before.Incident.Labels, after.Incident.Labels)
	c.Link = without(after.Incident.Projects, before.Incident.Projects)
	c.Unlink = without(before.Incident.Projects, after.Incident.Projects)
	held, wanted := slotsOf(&before.Incident), appendSlots(d.slots, &after.Incident)
	c.Claim, c.Release = without(wanted, held), without(held, wanted)
	return c
}

// noState is the state before an incident is created.
var noState State

func (c *Change) empty() bool {
	return c.Incident == nil && len(c.Activities) == 0 && len(c.Subscriptions) == 0
}

// changedTriggers returns the triggers of after that are not in before. Both lists are in
// order of TriggerID. If before is empty, it returns after itself.
func changedTriggers(before, after []Trigger) []Trigger {
	if len(before) == 0 {
		return after
	}
	var changed []Trigger
	for i := range after {
		t := &after[i]
		for len(before) > 0 && before[0].TriggerID < t.TriggerID {
			before = before[1:]
		}
		if len(before) == 0 || before[0] != *t {
			changed = append(changed, *t)
		}
	}
	return changed
}

// maxScanned is the longest list that is searched from its beginning. For a longer list a set
// is faster.
const maxScanned = 16

// without returns the elements of a that are not in b. If b is empty, it returns a itself.
func without[T comparable](a, b []T) []T {
	if len(b) == 0 {
		return a
	}
	isIn := func(v T) bool { return slices.Contains(b, v) }
	if len(a) > 1 && len(b) > maxScanned {
		set := make(map[T]struct{}, len(b))
		for _, v := range b {
			set[v] = struct{}{}
		}
		isIn = func(v T) bool { _, found := set[v]; return found }
	}
	var rest []T
	for _, v := range a {
		if !isIn(v) {
			rest = append(rest, v)
		}
	}
	return rest
}
