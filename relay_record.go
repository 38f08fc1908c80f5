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
	// backlogInterval is how often what is to be delivered is counted.
	backlogInterval = 15 * time.Second

	// oldBacklog is how long something may wait before an operator is told, and how often
	// that is.
	oldBacklog = time.Minute

	// failuresInterval is how often failures are logged at the most.
	failuresInterval = 10 * time.Second
)

// relayRecord is what a relay counts, and what it logs of it.
type relayRecord struct {
	delivered, failed, parked atomic.Uint64
	backlog                   atomic.Pointer[countedBacklog] // nil until it was counted

	mu       sync.Mutex // guards what is below
	lost     bool       // the store does not answer
	logged   time.Time  // when failures were logged
	failures int        // since
}

// countedBacklog is a backlog and when it was counted.
type countedBacklog struct {
	Backlog
	at time.Time
}

// store logs that the store fails, and that it is back.
func (r *relayRecord) store(ctx context.Context, logger *slog.Logger, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && !r.lost:
		logger.WarnContext(ctx, "incident: notifications wait for the store, which fails", "error", err)
	case err == nil && r.lost:
		logger.InfoContext(ctx, "incident: the store is back; notifications go on")
	}
	r.lost = err != nil
}

// failure logs that an attempt failed, and how many others have of late.
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

// watchBacklog counts what is to be delivered now and then, until ctx ends.
func (r *relaying) watchBacklog(ctx context.Context) {
	var told time.Time
	for ctx.Err() == nil {
		calling, cancel := context.WithTimeout(ctx, outboxTimeout)
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

// stats is what a relay has done, and how it is.
func (r *relayRecord) stats() NotificationStats {
	s := NotificationStats{Delivered: r.delivered.Load(), Failed: r.failed.Load(), GivenUp: r.parked.Load()}
	if b := r.backlog.Load(); b != nil {
		s.Backlog = b.Backlog
		s.BacklogAge = time.Since(b.at)
	}
	return s
}
