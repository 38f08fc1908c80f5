package incident

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// backlogTimeout bounds a call of the store for the backlog.
	backlogTimeout = 5 * time.Second

	// backlogInterval is how often the backlog is counted.
	backlogInterval = 15 * time.Second

	// oldBacklog is how long a notification may wait before a warning is logged, and the
	// least time between two such warnings.
	oldBacklog = time.Minute

	// failuresInterval is the least time between two logs of failures.
	failuresInterval = 10 * time.Second
)

// relayRecord counts and logs the work of a relay.
type relayRecord struct {
	delivered, failed, parked atomic.Uint64
	backlog                   atomic.Pointer[countedBacklog] // nil until it was counted

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
func (r *relayRecord) store(ctx context.Context, logger *slog.Logger, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && !r.lost:
		logger.WarnContext(ctx, "incident: notifications wait for the store, which fails", "error", err)
	case err == nil && r.lost:
		logger.InfoContext(ctx, "incident: the store is back; notifications continue")
	}
	r.lost = err != nil
}

// failure notes a failed attempt, and from time to time logs it with the number of failures.
func (r *relayRecord) failure(ctx context.Context, logger *slog.Logger, c *Claim, again time.Duration, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	if time.Since(r.logged) < failuresInterval {
		return
	}
	logger.WarnContext(ctx, "incident: notifications were not delivered, and will be tried again", "failures", r.failures,
		"incident", c.Key.String(), "activity", c.Sequence, "attempt", c.Attempt, "after", again, "error", text)
	r.failures, r.logged = 0, time.Now()
}

// watchBacklog counts the backlog until ctx ends.
func (r *outboxRelay) watchBacklog(ctx context.Context) {
	var told time.Time
	for ctx.Err() == nil {
		calling, cancel := context.WithTimeout(ctx, backlogTimeout)
		b, err := guarded(func() (Backlog, error) { return r.outbox.Backlog(calling) })
		cancel()
		if err == nil {
			r.record.backlog.Store(&countedBacklog{b, time.Now()})
			if b.Oldest > oldBacklog && time.Since(told) > oldBacklog {
				told = time.Now()
				r.options.Logger.WarnContext(ctx, "incident: notifications are late", "pending", b.Pending, "oldest", b.Oldest, "parked", b.Parked)
			}
		}
		duration.Pause(ctx, backlogInterval)
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
