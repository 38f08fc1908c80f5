package incident

import (
	"context"
	"errors"

	"github.com/incidentkit/incident/internal/coherence"
)

// newFeed returns the feed that follows the writes of other processes to store.
func (c *core) newFeed(store FeedStore) *coherence.Feed {
	return c.coherence.NewFeed(coherence.FeedConfig{
		Memory: FeedMemory,
		Ask: func(ctx context.Context, since string) (coherence.Changes, error) {
			changes, err := guarded(func() (FeedChanges, error) { return store.Changes(ctx, FeedPosition(since)) })
			observed := changes.versions()
			observed.Observed = func() {
				for _, v := range changes.Incidents {
					c.watchers.Changed(v.Key.OrganizationID, v.Key.Identifier, watched{IncidentVersion: v})
				}
			}
			return observed, err
		},
		CaughtUp: func() {
			for _, r := range c.relays.all {
				r.Stir()
			}
		},
		Watched: c.watchers.Watched,
	})
}

// versions returns the changed versions by cache key.
func (f FeedChanges) versions() coherence.Changes {
	return coherence.Changes{
		Position: string(f.Position),
		Reset:    f.Reset,
		Versions: func(yield func(string, int64) bool) {
			for _, v := range f.Incidents {
				if !yield(v.Key.cacheKey(), v.Version) {
					return
				}
			}
			for _, v := range f.Slots {
				if !yield(v.Slot.cacheKey(), v.Version) {
					return
				}
			}
		},
	}
}

// observe reports the version of an incident that this process has read from the store. It
// does not report a version that the transaction of the call has written, since that is not
// committed yet.
func (m *manager) observe(ctx context.Context, inc *Incident) {
	if inc.Identifier != 0 {
		m.observeVersion(ctx, inc.key(), inc.Version)
	}
}

// observeVersion is observe for a version without its incident.
func (m *manager) observeVersion(ctx context.Context, key Key, version int64) {
	if m.coherence.Off() {
		return
	}
	if m.local {
		// Few reads of a local store use its cache, so that it rarely has the incident.
		var buf [keyBuffer]byte
		if m.coherence.Knows(key.appendCacheKey(buf[:0]), version) {
			return
		}
	}
	m.observeKey(ctx, key.cacheKey(), coherence.Entry{Version: version})
}

// observeAbsent returns the error of a call of the store that names an incident. If the call found
// no incident, the cache must not serve the incident to the next reader: another call may have
// deleted it, and not reported that to the cache yet.
func (m *manager) observeAbsent(ctx context.Context, key Key, err error) error {
	if errors.Is(err, ErrNotFound) && !m.coherence.Off() {
		m.coherence.Absent(ctx, key.cacheKey())
	}
	return err
}

// observeSlot is observe for a slot and the incident that holds it.
func (m *manager) observeSlot(ctx context.Context, slot *Slot, held *SlotState) {
	if m.coherence.Off() || held.Version == 0 {
		return
	}
	if !m.local {
		m.observeKey(ctx, slot.cacheKey(), held.entry())
	}
	if held.State != nil {
		m.observe(ctx, &held.State.Incident)
	}
}

// observeHolder reports an incident, and that it holds its slots in unknown versions of them.
func (m *manager) observeHolder(ctx context.Context, inc *Incident) {
	m.observe(ctx, inc)
	if m.local || m.tx != nil {
		return
	}
	for _, slot := range slotsOf(inc) {
		m.coherence.ObserveHolder(ctx, slot.cacheKey(), inc.Identifier)
	}
}

// observeKey reports an entry that was read from the store, unless the transaction of the call
// may have written it and not committed yet.
func (m *manager) observeKey(ctx context.Context, key string, e coherence.Entry) {
	if m.tx == nil || !m.tx.publication.Writes(key) {
		m.coherence.Observe(ctx, key, e)
	}
}
