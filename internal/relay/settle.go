package relay

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// settlePause is how long Settle is not called after it has failed.
	settlePause = 50 * time.Millisecond

	// busyPause is how long Settle is not called after all claims were busy.
	busyPause = 10 * time.Millisecond
)

// settle settles the claims that were sent, all of them together each time, and frees their
// permits, until sent is closed. When ctx ends, it only frees the permits: a claim that is not
// settled is made and sent again when its lease expires.
func (d *dispatcher[C, S]) settle(ctx context.Context) {
	for s := range d.sent {
		for waiting := []S{s}; len(waiting) > 0; {
			waiting = d.settleAll(ctx, d.gather(waiting))
		}
	}
}

// gather adds the claims that were sent by now.
func (d *dispatcher[C, S]) gather(waiting []S) []S {
	for {
		select {
		case s, open := <-d.sent:
			if !open {
				return waiting
			}
			waiting = append(waiting, s)
		default:
			return waiting
		}
	}
}

// settleAll calls Settle once, and returns the claims that are still to be settled.
func (d *dispatcher[C, S]) settleAll(ctx context.Context, all []S) (rest []S) {
	if ctx.Err() != nil {
		d.free(all)
		return nil
	}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	busy, err := d.config.Settle(calling, all)
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
	d.free(done)
	if len(done) == 0 {
		duration.Pause(ctx, busyPause)
	}
	return rest
}

// free frees the permits of claims.
func (d *dispatcher[C, S]) free(all []S) {
	if len(all) == 0 {
		return
	}
	batch := make([]freed, len(all))
	for i := range all {
		batch[i].tenant, batch[i].again = d.config.Freed(&all[i])
	}
	d.freed <- batch
}
