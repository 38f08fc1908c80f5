package incident

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// failuresInterval is the least time between two logs of failures.
const failuresInterval = 10 * time.Second

// relayRecord counts and logs the work of a relay.
type relayRecord struct {
	delivered, failed, parked atomic.Uint64
	backlog                   atomic.Pointer[countedBacklog] // nil until it was counted
	told                      time.Time                      // when a late backlog was logged last

	mu       sync.Mutex // guards the fields below
	lost     bool       // the store does not answer
	logged   time.Time  // when failures were logged last
	failures int        // since then
}

// countedBacklog is a backlog and when it was counted.
type countedBacklog struct {
	Backlog
	at time.Time
}

// store notes the error of a call of the store. It logs the first failure, and the recovery.
func (r *relayRecord) store(ctx context.Context, logger relayLogger, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && !r.lost:
		logger.log(ctx, slog.LevelWarn, "incident: notifications wait for the store, which fails", "error", err)
	case err == nil && r.lost:
		logger.log(ctx, slog.LevelInfo, "incident: the store is back; notifications continue")
	}
	r.lost = err != nil
}

// failure notes a failed attempt, and from time to time logs it with the number of failures.
func (r *relayRecord) failure(ctx context.Context, logger relayLogger, c *Claim, again time.Duration, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	if time.Since(r.logged) < failuresInterval {
		return
	}
	logger.log(ctx, slog.LevelWarn, "incident: notifications were not delivered, and will be tried again", "failures", r.failures,
		"incident", c.Key.String(), c.kind(), c.name(), "attempt", c.Attempt, "after", again, "error", text)
	r.failures, r.logged = 0, time.Now()
}

// settled counts the attempts that were settled, except those that were busy.
func (r *relayRecord) settled(all []attempted, busy []int) {
	for i := range all {
		if slices.Contains(busy, i) {
			continue
		}
		s := &all[i]
		r.delivered.Add(uint64(s.Before))
		switch s.Outcome {
		case OutcomeDelivered:
			if !s.hasEnded {
				r.delivered.Add(1)
			}
		case OutcomePark:
			r.parked.Add(1)
			r.failed.Add(1)
		case OutcomeRetry:
			r.failed.Add(1)
		case OutcomeRelease: // no attempt came to an end
		}
	}
}

// stats returns the counters and the last backlog.
func (r *relayRecord) stats() NotificationStats {
	s := NotificationStats{Delivered: r.delivered.Load(), Failed: r.failed.Load(), GivenUp: r.parked.Load()}
	if b := r.backlog.Load(); b != nil {
		s.Backlog = b.Backlog
		s.BacklogAge = time.Since(b.at)
	}
	return s
}
