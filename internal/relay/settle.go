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

	// gatherTime is how long a settlement waits for other queues that have places, up to gathers
	// times.
	gatherTime = time.Millisecond
	gathers    = 3
)

// settle settles the claims that were sent, all of them together each time, and frees their
// permits, until sent is closed. When ctx ends, it only frees the permits: a claim that is not
// settled is made and sent again when its lease expires.
func (d *dispatcher[C, S]) settle(ctx context.Context) {
	var waiting []ended[S]
	for e := range d.sent {
		for waiting = append(waiting[:0], e); len(waiting) > 0; {
			waiting = d.settleAll(ctx, d.expectOthers(d.gather(waiting)))
		}
	}
}

// expectOthers waits a moment if other queues have places, since a settlement of many costs little
// more than a settlement of one. Claims that hold permits wait once at most. When Run ends, nothing waits.
func (d *dispatcher[C, S]) expectOthers(waiting []ended[S]) []ended[S] {
	for i := range gathers {
		places, permits := 0, 0
		for j := range waiting {
			places, permits = places+waiting[j].places, permits+waiting[j].permits
		}
		if i > 0 && permits > 0 || d.run.Err() != nil || !d.permits.expects(places) {
			break
		}
		time.Sleep(gatherTime)
		waiting = d.gather(waiting)
	}
	return waiting
}

// gather adds the claims that were sent by now.
func (d *dispatcher[C, S]) gather(waiting []ended[S]) []ended[S] {
	for {
		select {
		case e, open := <-d.sent:
			if !open {
				return waiting
			}
			waiting = append(waiting, e)
		default:
			return waiting
		}
	}
}

// settleAll calls Settle once, and returns the claims that are still to be settled, in the same space.
func (d *dispatcher[C, S]) settleAll(ctx context.Context, all []ended[S]) (rest []ended[S]) {
	if ctx.Err() != nil {
		d.free(all)
		return all[:0]
	}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	settlements := make([]S, len(all))
	for i := range all {
		settlements[i] = all[i].settlement
	}
	busy, err := d.config.Settle(calling, settlements)
	if err != nil {
		duration.Pause(ctx, settlePause)
		return all
	}
	done := all[:0]
	for i, e := range all {
		if slices.Contains(busy, i) {
			rest = append(rest, e)
		} else {
			done = append(done, e)
		}
	}
	d.free(done)
	if len(done) == 0 {
		duration.Pause(ctx, busyPause)
	}
	clear(all[copy(all, rest):]) // keeps no texts of settled claims
	return all[:len(rest)]
}

// free frees what claims held.
func (d *dispatcher[C, S]) free(all []ended[S]) {
	if len(all) == 0 {
		return
	}
	batch := make([]freed, len(all))
	for i := range all {
		batch[i].held = all[i].held
		batch[i].tenant, batch[i].again = d.config.Freed(&all[i].settlement)
	}
	d.permits.settled(batch)
	d.freed <- batch
}
