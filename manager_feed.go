package incident

import "context"

// observe tells the cache which version of an incident this process has read from the
// store. One that its own transaction has written is not committed yet.
func (m *manager) observe(ctx context.Context, inc *Incident) {
	if inc.Identifier != 0 {
		m.observeVersion(ctx, inc.Key(), inc.Version)
	}
}

func (m *manager) observeVersion(ctx context.Context, key Key, version int64) {
	if m.coherence.off.Load() {
		return
	}
	if m.local {
		// Reading such a store costs no more than asking the cache, which few reads then use.
		var buf [keyBuffer]byte
		if m.coherence.own == nil || m.coherence.knows(key.appendCacheKey(buf[:0]), version) {
			return
		}
	}
	m.observeKey(ctx, key.cacheKey(), CacheEntry{Version: version})
}

// observeSlot is observe for a slot and who holds it.
func (m *manager) observeSlot(ctx context.Context, slot Slot, held SlotState) {
	if m.coherence.off.Load() || held.Version == 0 {
		return
	}
	if !m.local {
		m.observeKey(ctx, slot.cacheKey(), held.entry())
	}
	if held.State != nil {
		m.observe(ctx, &held.State.Incident)
	}
}

// observeHolder tells the cache that the slots of an incident which this process has seen are
// not free, nor another incident's, unless that came later. Which version of a slot it is
// is not known.
func (m *manager) observeHolder(ctx context.Context, inc *Incident) {
	m.observe(ctx, inc)
	if m.local || m.tx != nil {
		return
	}
	for _, slot := range slotsOf(inc) {
		m.coherence.observeHolder(ctx, slot.cacheKey(), inc.Identifier)
	}
}

func (m *manager) observeKey(ctx context.Context, key string, e CacheEntry) {
	if m.tx == nil || !m.tx.publication.hasMarked(key) {
		m.coherence.observeEntry(ctx, key, e)
	}
}
