package incident

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident/internal/coherence"
)

// subject is the incident or the slot that a read or write is about.
type subject struct {
	key  Key
	slot Slot // if key is zero
}

// state reads an incident's state through the cache. It is shared: callers copy
// what they return.
func (m *manager) state(ctx context.Context, key Key) (*State, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if m.tx == nil {
		// What is cached has a valid key, so a hit needs no check.
		var buf [keyBuffer]byte
		if s, ok := coherence.Get[*State](ctx, m.coherence, key.appendCacheKey(buf[:0])); ok {
			return s, nil
		}
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context) (*State, error) {
		s, err := m.store.Load(ctx, key)
		return &s, err
	}
	if m.tx != nil {
		return fetch(ctx)
	}
	s, _, err := coherence.Load(ctx, m.coherence, key.cacheKey(), m.options.IncidentTTL, fetch, (*State).entry)
	return s, err
}

// read is a call that only reads something of one incident from the store.
func read[T any](ctx context.Context, m *manager, key Key, fetch func(context.Context, Key) (T, error)) (T, error) {
	var none T
	if err := m.usable(ctx); err != nil {
		return none, err
	}
	if err := checkKey(key); err != nil {
		return none, err
	}
	return fetch(ctx, key)
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
		if holder, ok := coherence.Get[*slotHolder](ctx, m.coherence, slot.appendCacheKey(buf[:0])); ok {
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

// loadSlot reads the store and remembers who holds the slot.
func (m *manager) loadSlot(ctx context.Context, slot Slot) (held SlotState, own bool, err error) {
	fetch := func(ctx context.Context) (SlotState, error) { return m.store.LoadSlot(ctx, slot) }
	if m.tx != nil {
		held, err = fetch(ctx)
		return held, true, err
	}
	return coherence.Load(ctx, m.coherence, slot.cacheKey(), m.options.ActiveTTL, fetch, SlotState.entry)
}

// cachedHolder returns the state of the active incident of a slot, nil for a free
// one, if the cache knows all of it.
func (m *manager) cachedHolder(ctx context.Context, slot Slot) (*State, bool) {
	var buf [keyBuffer]byte
	holder, ok := coherence.Get[*slotHolder](ctx, m.coherence, slot.appendCacheKey(buf[:0]))
	if !ok || holder.Identifier == 0 {
		return nil, ok
	}
	key := Key{OrganizationID: slot.OrganizationID, Identifier: holder.Identifier}
	s, ok := coherence.Get[*State](ctx, m.coherence, key.appendCacheKey(buf[:0]))
	// The incident may have left the slot since the slot was read.
	if !ok || !slices.Contains(slotsOf(&s.Incident), slot) {
		return nil, false
	}
	return s, true
}

// load returns the state that a write is decided on, nil for a free slot. It is
// fresh, which means read from the store within this call, if that is asked or the
// cache does not know it. It may be shared, and must not be changed.
func (m *manager) load(ctx context.Context, t *target, fresh bool) (s *State, isFresh bool, err error) {
	cached := !fresh && !m.local && m.tx == nil && m.coherence.Decides()
	if t.key.Identifier == 0 {
		if cached {
			if s, ok := m.cachedHolder(ctx, t.slot); ok {
				return s, false, nil
			}
		}
		s, err = m.fresh(ctx, subject{slot: t.slot})
		return s, true, err
	}
	if cached {
		var buf [keyBuffer]byte
		if s, ok := coherence.Get[*State](ctx, m.coherence, t.key.appendCacheKey(buf[:0])); ok {
			return s, false, nil
		}
	}
	s, err = m.fresh(ctx, subject{key: t.key})
	return s, true, err
}

// fresh returns what the store knows of an incident or of who holds a slot, nil for a
// free one. Where reading takes a while it is shared with others who ask meanwhile.
func (m *manager) fresh(ctx context.Context, at subject) (*State, error) {
	if m.local || m.tx != nil {
		return m.fetch(ctx, at)
	}
	s, shared, err := m.freshReads.Do(ctx, at, m.fetch)
	if shared {
		m.loadsShared.Add(1)
	}
	return s, err
}

func (m *manager) fetch(ctx context.Context, at subject) (*State, error) {
	began := m.coherence.Epoch()
	if at.key.Identifier == 0 {
		held, err := m.store.LoadSlot(ctx, at.slot)
		if err == nil {
			m.checkHistory(ctx, at.slot, held.Version, began)
		}
		m.observeSlot(ctx, at.slot, held)
		return held.State, err
	}
	state, err := m.store.Load(ctx, at.key)
	if err == nil || errors.Is(err, ErrNotFound) {
		m.checkHistory(ctx, at.key, state.Incident.Version, began)
	}
	m.observe(ctx, &state.Incident)
	return &state, err
}

// checkHistory is that of the coherence, for what was read of the store itself.
func (m *manager) checkHistory(ctx context.Context, of interface{ cacheKey() string }, version int64, began coherence.Epoch) {
	if !m.local && m.tx == nil && m.coherence.ChecksHistory() {
		m.coherence.CheckHistory(ctx, of.cacheKey(), version, began)
	}
}
