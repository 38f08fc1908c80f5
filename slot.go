package incident

import (
	"context"
	"slices"
)

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

func (m *manager) Active(ctx context.Context, slot Slot) (Incident, bool, error) {
	inc, ok, err := m.active(ctx, slot)
	return inc, ok, wrap(err, "active incident of %q", slot.OrganizationID)
}

func (m *manager) active(ctx context.Context, slot Slot) (Incident, bool, error) {
	if err := m.usable(ctx); err != nil {
		return Incident{}, false, err
	}
	if m.local {
		return m.readSlot(ctx, slot)
	}
	if m.tx == nil {
		// What is cached has a valid key, so a hit needs no check.
		var buf [keyBuffer]byte
		if holder, ok := get[*slotHolder](ctx, m.coherence, slot.appendCacheKey(buf[:0])); ok {
			return m.activeOf(ctx, slot, holder.Identifier)
		}
	}
	if err := checkSlot(slot); err != nil {
		return Incident{}, false, err
	}
	held, own, err := m.loadSlot(ctx, slot)
	if err != nil {
		return Incident{}, false, err
	}
	if held.State != nil && !own {
		return m.activeOf(ctx, slot, held.State.Incident.Identifier)
	}
	inc, ok := held.active()
	m.observe(ctx, &inc)
	return inc.Clone(), ok, nil // what was loaded is shared
}

// activeOf answers for a slot whose holder is known, 0 for nobody. The incident
// is read through the cache.
func (m *manager) activeOf(ctx context.Context, slot Slot, holder int64) (Incident, bool, error) {
	if holder == 0 {
		return Incident{}, false, nil
	}
	s, err := m.state(ctx, Key{OrganizationID: slot.OrganizationID, Identifier: holder})
	if err != nil {
		return Incident{}, false, err
	}
	if slices.Contains(slotsOf(&s.Incident), slot) {
		return s.Incident.Clone(), true, nil
	}
	return m.readSlot(ctx, slot) // it has left the slot since the slot was read
}

// readSlot answers from the store.
func (m *manager) readSlot(ctx context.Context, slot Slot) (Incident, bool, error) {
	if err := checkSlot(slot); err != nil {
		return Incident{}, false, err
	}
	held, err := m.store.LoadSlot(ctx, slot)
	m.observeSlot(ctx, slot, held)
	inc, ok := held.active()
	return inc, ok, err
}

func (s SlotState) active() (Incident, bool) {
	if s.State == nil {
		return Incident{}, false
	}
	return s.State.Incident, true
}

// loadSlot reads the store and remembers who holds the slot.
func (m *manager) loadSlot(ctx context.Context, slot Slot) (held SlotState, own bool, err error) {
	fetch := func(ctx context.Context) (SlotState, error) { return m.store.LoadSlot(ctx, slot) }
	if m.tx != nil {
		held, err = fetch(ctx)
		return held, true, err
	}
	return load(ctx, m.coherence, slot.cacheKey(), m.options.ActiveTTL, fetch, SlotState.entry)
}

// entry is what is cached of a slot: who holds it.
func (s SlotState) entry() CacheEntry {
	holder := &slotHolder{}
	if s.State != nil {
		holder.Identifier = s.State.Incident.Identifier
	}
	return CacheEntry{Version: s.Version, value: holder}
}

// cachedHolder returns the state of the active incident of a slot, nil for a free
// one, if the cache knows all of it.
func (m *manager) cachedHolder(ctx context.Context, slot Slot) (*State, bool) {
	var buf [keyBuffer]byte
	holder, ok := get[*slotHolder](ctx, m.coherence, slot.appendCacheKey(buf[:0]))
	if !ok || holder.Identifier == 0 {
		return nil, ok
	}
	key := Key{OrganizationID: slot.OrganizationID, Identifier: holder.Identifier}
	s, ok := get[*State](ctx, m.coherence, key.appendCacheKey(buf[:0]))
	// The incident may have left the slot since the slot was read.
	if !ok || !slices.Contains(slotsOf(&s.Incident), slot) {
		return nil, false
	}
	return s, true
}
