package events

import "sync/atomic"

// Stats are the counters of a [Handler] since [New].
type Stats struct {
	// Triggered, Acknowledged and Resolved count events that changed an incident. Unchanged
	// counts events that changed nothing: repetitions, outdated events, and events of unknown
	// dedup keys.
	Triggered, Acknowledged, Resolved, Unchanged uint64

	// Cut counts triggers among these that lost a part of their texts, links or details.
	Cut uint64

	// Invalid counts refused requests, except for their routing keys, which UnknownKey counts.
	Invalid, UnknownKey uint64

	// Limited counts events that were answered 429.
	Limited uint64

	// Failed counts events that the Manager did not accept. They are logged.
	Failed uint64
}

// counters are the counters behind [Stats].
type counters struct {
	triggered, acknowledged, resolved, unchanged, cut, invalid, unknownKey, limited, failed atomic.Uint64
}

// Stats returns the counters.
func (h *Handler) Stats() Stats {
	return Stats{
		Triggered:    h.triggered.Load(),
		Acknowledged: h.acknowledged.Load(),
		Resolved:     h.resolved.Load(),
		Unchanged:    h.unchanged.Load(),
		Cut:          h.cut.Load(),
		Invalid:      h.invalid.Load(),
		UnknownKey:   h.unknownKey.Load(),
		Limited:      h.limited.Load(),
		Failed:       h.failed.Load(),
	}
}

// count counts an event that was accepted.
func (c *counters) count(e *event, changed bool) {
	if e.cut {
		c.cut.Add(1)
	}
	switch {
	case !changed:
		c.unchanged.Add(1)
	case e.action == actionTrigger:
		c.triggered.Add(1)
	case e.action == actionAcknowledge:
		c.acknowledged.Add(1)
	default:
		c.resolved.Add(1)
	}
}
