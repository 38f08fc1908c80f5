package incident

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident/internal/coherence"
)

// Reads, their sources and the reasons. A fallback follows "else".
//
//	read                         source                    function       reason
//	Get, Triggers                cache, else load          readState      current within this process
//	Active                       cache, else load          readActive     current within this process
//	Active of a local store      store                     readActive     costs no more than the cache
//	SeenBy, Subscribers,         store                     readStore      not cached
//	  Reminders
//	Details, List, Activities,   store                     (none)         not cached
//	  Parked, Report
//	write, to decide             cache, else fresh read    viewToChange  the store refuses an outdated decision
//	write, after a conflict      fresh read                freshView      the cache was outdated
//	write that changes nothing   fresh read                freshView      nobody would notice an outdated decision
//	write to a local store       store                     storedView     costs no more than the cache
//	any, in a transaction        store of the transaction  storedView     sees its own writes
//
// Concurrent calls share reads of the store in two ways:
//
//   - A load fills the cache. It may answer calls that began during it, because a write
//     forgets the loads that it outdates: see Group of package flight.
//   - A fresh read begins after all calls that it answers: see Next of package flight.
//
// Each version of an incident or slot that a call reads from the store is reported to the
// cache by observe, so that no later read of this process returns an older version. A missing
// incident is reported by observeAbsent.

// subject is the incident or the slot that a read or write is about.
type subject struct {
	key  Key
	slot Slot // if key is zero
}

func (at subject) cacheKey() string {
	if at.key.Identifier == 0 {
		return at.slot.cacheKey()
	}
	return at.key.cacheKey()
}

// readState returns the state of an incident for a read. The state may be shared, and must
// not be changed.
func (m *manager) readState(ctx context.Context, key Key) (*State, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if m.tx == nil {
		// Cached keys are valid, so that a hit needs no check.
		var buf [keyBuffer]byte
		if s, ok := coherence.Get[*State](ctx, m.coherence, key.appendCacheKey(buf[:0])); ok {
			return s, nil
		}
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if m.tx != nil {
		v, err := m.storedView(ctx, &subject{key: key})
		return v.state, err
	}
	fetch := func(ctx context.Context) (*State, error) {
		s, err := m.store.Load(ctx, key)
		return &s, err
	}
	s, _, err := coherence.Load(ctx, m.coherence, key.cacheKey(), m.options.IncidentTTL, fetch, (*State).entry)
	return s, m.observeAbsent(ctx, key, err)
}

// readActive returns the state of a slot's active incident for a read, nil if the slot is
// free. The state may be shared, and must not be changed.
func (m *manager) readActive(ctx context.Context, slot Slot) (*State, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	direct := m.local || m.tx != nil
	if !direct {
		// Cached slots are valid, so that a hit needs no check.
		if holder, ok := m.cachedHolder(ctx, slot); ok {
			return m.readHolder(ctx, slot, holder)
		}
	}
	if err := checkSlot(slot); err != nil {
		return nil, err
	}
	if direct {
		v, err := m.storedView(ctx, &subject{slot: slot})
		return v.state, err
	}
	fetch := func(ctx context.Context) (SlotState, error) { return m.store.LoadSlot(ctx, slot) }
	held, own, err := coherence.Load(ctx, m.coherence, slot.cacheKey(), m.options.ActiveTTL, fetch, SlotState.entry)
	switch {
	case err != nil || held.State == nil:
		return nil, err
	case !own: // current for the holder, but not for its state
		return m.readHolder(ctx, slot, held.State.Incident.Identifier)
	}
	m.observe(ctx, &held.State.Incident)
	return held.State, nil
}

// readHolder returns the state of the incident that holds a slot, nil for identifier 0. It
// reads the slot again if the incident has left it, or was deleted, meanwhile.
func (m *manager) readHolder(ctx context.Context, slot Slot, identifier int64) (*State, error) {
	if identifier == 0 {
		return nil, nil
	}
	s, err := m.readState(ctx, Key{OrganizationID: slot.OrganizationID, Identifier: identifier})
	if errors.Is(err, ErrNotFound) || err == nil && !s.occupies(slot) {
		v, err := m.storedView(ctx, &subject{slot: slot})
		return v.state, err
	}
	return s, err
}

// readStore calls a read of the store that is about an incident.
func readStore[T any](ctx context.Context, m *manager, key Key, read func(context.Context, Key) (T, error)) (T, error) {
	var none T
	if err := m.usable(ctx); err != nil {
		return none, err
	}
	if err := checkKey(key); err != nil {
		return none, err
	}
	v, err := read(ctx, key)
	return v, m.observeAbsent(ctx, key, err)
}

// viewToChange returns the view on which a write is decided. It may come from the cache unless
// fresh is set. Its states may be shared, and must not be changed.
func (m *manager) viewToChange(ctx context.Context, at *subject, fresh bool) (view, error) {
	if !fresh && !m.local && m.tx == nil && m.coherence.Decides() {
		if s, ok := m.cachedState(ctx, *at); ok {
			return view{state: s}, nil
		}
	}
	return m.freshView(ctx, at)
}

// freshView reads a view from the store. Concurrent calls share the reads of a store that is
// not local.
func (m *manager) freshView(ctx context.Context, at *subject) (view, error) {
	if m.local || m.tx != nil {
		return m.storedView(ctx, at)
	}
	v, shared, err := m.freshReads.Do(ctx, *at, func(ctx context.Context, at subject) (view, error) { return m.storedView(ctx, &at) })
	if shared {
		m.loadsShared.Add(1)
	}
	return v, err
}

// storedView reads a view from the store, and reports its version to the cache.
func (m *manager) storedView(ctx context.Context, at *subject) (view, error) {
	began := m.coherence.Epoch()
	if at.key.Identifier == 0 {
		held, err := m.store.LoadSlot(ctx, at.slot)
		if err == nil {
			m.checkHistory(ctx, *at, held.Version, began)
		}
		m.observeSlot(ctx, &at.slot, &held)
		return view{state: held.State, last: held.Last, slotVersion: held.Version, fresh: true}, err
	}
	state, err := m.store.Load(ctx, at.key)
	if err == nil || errors.Is(err, ErrNotFound) {
		m.checkHistory(ctx, *at, state.Incident.Version, began)
	}
	m.observe(ctx, &state.Incident)
	return view{state: &state, fresh: true}, m.observeAbsent(ctx, at.key, err)
}

// cachedState returns the state of an incident, or of a slot's active incident, from the
// cache: nil for a free slot. It reports whether the cache has all that this takes.
func (m *manager) cachedState(ctx context.Context, at subject) (*State, bool) {
	key := at.key
	if key.Identifier == 0 {
		holder, ok := m.cachedHolder(ctx, at.slot)
		if !ok || holder == 0 {
			return nil, ok
		}
		key = Key{OrganizationID: at.slot.OrganizationID, Identifier: holder}
	}
	var buf [keyBuffer]byte
	s, ok := coherence.Get[*State](ctx, m.coherence, key.appendCacheKey(buf[:0]))
	if !ok || at.key.Identifier == 0 && !s.occupies(at.slot) {
		return nil, false
	}
	return s, true
}

// cachedHolder returns the identifier of the incident that holds a slot, 0 for none, from
// the cache. It reports whether the cache has it. The incident may have left the slot since.
func (m *manager) cachedHolder(ctx context.Context, slot Slot) (identifier int64, ok bool) {
	var buf [keyBuffer]byte
	holder, ok := coherence.Get[*slotHolder](ctx, m.coherence, slot.appendCacheKey(buf[:0]))
	if !ok {
		return 0, false
	}
	return holder.Identifier, true
}

// owned returns the incident of a state for the caller to keep, and the zero Incident for
// nil. Only a state of a local store is certainly not shared.
func (m *manager) owned(s *State) Incident {
	switch {
	case s == nil:
		return Incident{}
	case m.local:
		return s.Incident
	}
	return s.Incident.Clone()
}

// occupies reports whether the incident occupies a slot.
func (s *State) occupies(slot Slot) bool { return slices.Contains(slotsOf(&s.Incident), slot) }

// checkHistory finds out whether a store without a feed has lost commits, from a version that
// was read from it.
func (m *manager) checkHistory(ctx context.Context, at subject, version int64, began coherence.Epoch) {
	if !m.local && m.tx == nil && m.coherence.ChecksHistory() {
		m.coherence.CheckHistory(ctx, at.cacheKey(), version, began)
	}
}
