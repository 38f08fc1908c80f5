package incident

import (
	"errors"
	"slices"
	"time"

	"github.com/incidentkit/incident/internal/coherence"
)

// markChange marks the keys that a change may write, except those that a local store
// answers itself.
func markChange(p *coherence.Publication, c *Change, local bool) {
	if p.Idle() {
		return
	}
	isNew := c.Key.Identifier == 0
	switch {
	case !isNew:
		p.MarkRow(c.Key.cacheKey(), c.ExpectVersion)
	case !local:
		p.MarkNew()
	}
	if local {
		return
	}
	for _, slots := range [][]Slot{c.Claim, c.Release} {
		for _, s := range slots {
			if isNew {
				p.MarkClaim(s.cacheKey())
			} else {
				p.MarkHeld(s.cacheKey())
			}
		}
	}
}

// addState adds the written state of an incident. The state must not change any more.
func addState(p *coherence.Publication, s *State, ttl time.Duration) {
	if !p.Idle() {
		p.Add(s.Incident.Key().cacheKey(), s.entry(), ttl)
	}
}

// addSlots adds the holders of the slots of a change after it was applied.
func addSlots(p *coherence.Publication, c *Change, applied *Applied, ttl time.Duration) {
	if p.Idle() {
		return
	}
	for _, s := range applied.Slots {
		holder := &slotHolder{}
		if slices.Contains(c.Claim, s.Slot) {
			holder.Identifier = applied.Incident.Identifier
		}
		p.Add(s.Slot.cacheKey(), coherence.Entry{Version: s.Version, Value: holder}, ttl)
	}
}

// settle notes the outcome of a write or transaction that returned err.
func settle(p *coherence.Publication, err error) {
	switch {
	case err == nil:
		p.Applied()
	case !errors.Is(err, ErrUnknownOutcome):
		p.Discard()
	}
}

// entry returns the cache entry of an incident: its state.
func (s *State) entry() coherence.Entry {
	return coherence.Entry{Version: s.Incident.Version, Value: s}
}

// entry returns the cache entry of a slot: its holder.
func (s SlotState) entry() coherence.Entry {
	holder := &slotHolder{}
	if s.State != nil {
		holder.Identifier = s.State.Incident.Identifier
	}
	return coherence.Entry{Version: s.Version, Value: holder}
}
