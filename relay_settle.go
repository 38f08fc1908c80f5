package incident

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// settlePause is how long the store is left alone after it has failed to settle.
	settlePause = 50 * time.Millisecond

	// busyPause is how long those are left alone who are at work on all that remains.
	busyPause = 10 * time.Millisecond
)

// settle ends the claims of what was sent, all that are there at a time, and frees their
// places. It goes on until the channel is closed, and gives up when ctx ends: what is not
// settled then is sent again when its lease is over.
func (r *relaying) settle(ctx context.Context) {
	for s := range r.settling {
		for waiting := []Settlement{s}; len(waiting) > 0; {
			waiting = r.settleAll(ctx, r.gather(waiting))
		}
	}
}

// gather adds what else was sent by now.
func (r *relaying) gather(waiting []Settlement) []Settlement {
	for {
		select {
		case s, open := <-r.settling:
			if !open {
				return waiting
			}
			waiting = append(waiting, s)
		default:
			return waiting
		}
	}
}

// settleAll makes one attempt, and returns what remains.
func (r *relaying) settleAll(ctx context.Context, all []Settlement) (rest []Settlement) {
	if ctx.Err() != nil {
		r.free(all)
		return nil
	}
	calling, cancel := context.WithTimeout(ctx, outboxTimeout)
	defer cancel()
	busy, err := guarded(func() ([]int, error) { return r.outbox.Settle(calling, all) })
	r.record.store(ctx, r.options.Logger, err)
	if err != nil {
		duration.Pause(ctx, settlePause)
		return all
	}
	done := all[:0:0]
	for i, s := range all {
		if slices.Contains(busy, i) {
			rest = append(rest, s)
		} else {
			done = append(done, s)
		}
	}
	r.free(done)
	if len(done) == 0 {
		duration.Pause(ctx, busyPause)
	}
	return rest
}

// free frees the places of claims.
func (r *relaying) free(all []Settlement) {
	for _, s := range all {
		f := released{organization: s.Key.OrganizationID}
		switch {
		case s.Outcome == OutcomeRetry:
			f.again = s.After
		case s.More, s.Outcome == OutcomeRelease:
			f.again = dueNow
		}
		r.settled <- f
	}
}
