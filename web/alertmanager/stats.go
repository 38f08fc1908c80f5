package alertmanager

import "sync/atomic"

// Stats counts since the start of the process.
type Stats struct {
	Requests uint64 // all requests
	Refused  uint64 // requests with a status from 400 to 499: Alertmanager does not repeat them
	Repeats  uint64 // requests with status 503: Alertmanager repeats them

	Received  uint64 // alerts of the requests, also repeated
	Fired     uint64 // alerts that opened or changed an incident
	Resolved  uint64 // resolved alerts that changed an incident
	Unchanged uint64 // repeated, late or unknown alerts
	Skipped   uint64 // alerts for which Options.Map returned ErrSkip
	Unusable  uint64 // alerts that can never be written
	Failed    uint64 // alerts of requests with status 503 that were not written
	Truncated uint64 // alerts that the sender has cut off

	Reconciled uint64 // triggers that a Reconciler has resolved
}

// counters are the Stats that are being counted.
type counters struct {
	requests, refused, repeats                                      atomic.Uint64
	received, fired, resolved, unchanged, skipped, unusable, failed atomic.Uint64
	truncated, reconciled                                           atomic.Uint64
}

// Stats returns the counts.
func (h *Handler) Stats() Stats {
	c := &h.counters
	return Stats{
		Requests:   c.requests.Load(),
		Refused:    c.refused.Load(),
		Repeats:    c.repeats.Load(),
		Received:   c.received.Load(),
		Fired:      c.fired.Load(),
		Resolved:   c.resolved.Load(),
		Unchanged:  c.unchanged.Load(),
		Skipped:    c.skipped.Load(),
		Unusable:   c.unusable.Load(),
		Failed:     c.failed.Load(),
		Truncated:  c.truncated.Load(),
		Reconciled: c.reconciled.Load(),
	}
}
