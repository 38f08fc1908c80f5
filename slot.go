package incident

import "slices"

// Slot is a combination of organization, alert rule, project and query. An active
// incident of an alert rule occupies a slot for each of its projects. At most one
// incident is active in a slot.
type Slot struct {
	OrganizationID OrganizationID `json:"organizationId"`
	AlertRuleID    AlertRuleID    `json:"alertRule"`
	ProjectID      ProjectID      `json:"project"`
	QueryID        QueryID        `json:"query"` // may be empty
}

// SlotState is the version of a slot and its holder.
type SlotState struct {
	// Version counts the claims and releases of the slot. 0 if it was never claimed.
	Version int64

	// State is the state of the incident that occupies the slot. Nil if the slot is
	// free.
	State *State

	// Last is the state of the incident that was the last to occupy a free slot. Nil if
	// the slot is occupied, or was never claimed.
	Last *State
}

// SlotVersion is the version of a slot after a change.
type SlotVersion struct {
	Slot    Slot
	Version int64
}

// slotsOf is the slot rule: an active incident of an alert rule occupies one slot for
// each project, and any other incident occupies none.
func slotsOf(inc *Incident) []Slot { return appendSlots(nil, inc) }

// appendSlots appends the slots of slotsOf.
func appendSlots(slots []Slot, inc *Incident) []Slot {
	if inc.AlertRuleID == "" || !inc.Status.Active() {
		return slots
	}
	slots = slices.Grow(slots, len(inc.Projects))
	for _, p := range inc.Projects {
		slots = append(slots, Slot{
			OrganizationID: inc.OrganizationID,
			AlertRuleID:    inc.AlertRuleID,
			ProjectID:      p,
			QueryID:        inc.QueryID,
		})
	}
	return slots
}
