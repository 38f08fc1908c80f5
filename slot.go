package incident

// Slot is what an active incident of an alert rule occupies, once for each of
// its projects. At most one incident is active in a slot.
type Slot struct {
	OrganizationID OrganizationID `json:"organizationId"`
	AlertRuleID    AlertRuleID    `json:"alertRule"`
	ProjectID      ProjectID      `json:"project"`
	QueryID        QueryID        `json:"query"` // may be empty: no query
}

// SlotState is what a slot holds.
type SlotState struct {
	// Version counts how often the slot was claimed and released. It is 0 for
	// a slot that was never claimed.
	Version int64

	// State is that of the active incident which occupies the slot, or nil.
	State *State
}

// SlotVersion is a slot's version after a change.
type SlotVersion struct {
	Slot    Slot
	Version int64
}

// slotsOf is the slot rule: an active incident of an alert rule occupies one
// slot a project, and no other incident occupies any.
func slotsOf(inc *Incident) []Slot {
	if inc.AlertRuleID == "" || !inc.Status.Active() {
		return nil
	}
	slots := make([]Slot, len(inc.Projects))
	for i, p := range inc.Projects {
		slots[i] = Slot{
			OrganizationID: inc.OrganizationID,
			AlertRuleID:    inc.AlertRuleID,
			ProjectID:      p,
			QueryID:        inc.QueryID,
		}
	}
	return slots
}

func (s SlotState) active() (Incident, bool) {
	if s.State == nil {
		return Incident{}, false
	}
	return s.State.Incident, true
}
