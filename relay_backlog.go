package incident

import (
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// backlogTimeout bounds a call of the store for the backlog.
	backlogTimeout = 5 * time.Second

	// backlogInterval is how often the backlog is counted, and foreignInterval how often by a process whose
	// options have no notifier: nothing of it is its own.
	backlogInterval = 15 * time.Second
	foreignInterval = time.Minute

	// oldBacklog is how long a notification may wait before a warning is logged, and the
	// least time between two such warnings for a notifier.
	oldBacklog = time.Minute
)

// backlogCount is the last count of the backlog of notifiers that have no relay.
type backlogCount struct {
	others atomic.Pointer[map[string]Backlog] // nil until it was counted
}

// abandoned returns the backlog of notifiers that have no relay, nil for none.
func (c *backlogCount) abandoned() map[string]Backlog {
	if others := c.others.Load(); others != nil {
		return maps.Clone(*others)
	}
	return nil
}

// watchBacklog counts the backlog until ctx ends.
func (rs *relays) watchBacklog(ctx context.Context) {
	interval := backlogInterval
	if len(rs.all) == 0 {
		interval = foreignInterval
	}
	for ctx.Err() == nil {
		calling, cancel := context.WithTimeout(ctx, backlogTimeout)
		all, err := guarded(func() (map[string]Backlog, error) { return rs.outbox.Backlog(calling) })
		cancel()
		if err == nil {
			rs.noteBacklog(ctx, all)
		}
		duration.Pause(ctx, interval)
	}
}

// noteBacklog notes the backlogs of the notifiers, and logs those that are late.
func (rs *relays) noteBacklog(ctx context.Context, all map[string]Backlog) {
	others := maps.Clone(all)
	for _, r := range rs.all {
		name := r.target.Notifier
		r.noteBacklog(ctx, all[name])
		delete(others, name)
	}
	maps.DeleteFunc(others, func(_ string, b Backlog) bool { return b == Backlog{} })
	if len(others) == 0 {
		others = nil
	}
	rs.backlog.others.Store(&others)
}

func (r *outboxRelay) noteBacklog(ctx context.Context, b Backlog) {
	now := time.Now()
	r.record.backlog.Store(&countedBacklog{b, now})
	if b.Oldest > oldBacklog && now.Sub(r.record.told) > oldBacklog {
		r.record.told = now
		r.logger.log(ctx, slog.LevelWarn, "incident: notifications are late", "pending", b.Pending, "oldest", b.Oldest, "parked", b.Parked)
	}
}
