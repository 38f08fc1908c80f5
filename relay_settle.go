package incident

import (
	"context"
	"time"
)

// settle ends the claims of what was sent, all that are there at a time, and frees their
// places. It goes on until the channel is closed, and gives up when ctx ends: what is not
// settled then is sent again when its lease is over.
func (r *relaying) settle(ctx context.Context) {
	var waiting []Settlement
	for open := true; open || len(waiting) > 0; {
		if len(waiting) == 0 {
			s, ok := <-r.settling
			if open = ok; !ok {
				return
			}
			waiting = append(waiting, s)
		}
		for gathering := open; gathering; {
			select {
			case s, ok := <-r.settling:
				if open, gathering = ok, ok; ok {
					waiting = append(waiting, s)
				}
			default:
				gathering = false
			}
		}
		waiting = r.settleAll(ctx, waiting)
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
	busy, err := r.outbox.Settle(calling, all)
	r.record.store(ctx, r.options.Logger, err)
	if err != nil {
		pause(ctx, outboxPause/5)
		return all
	}
	for _, i := range busy {
		rest = append(rest, all[i])
		all[i].Outcome = 0
	}
	var done []Settlement
	for _, s := range all {
		if s.Outcome != 0 {
			done = append(done, s)
		}
	}
	r.free(done)
	if len(done) == 0 {
		pause(ctx, 10*time.Millisecond) // all of them are in the hands of others
	}
	return rest
}

// free frees the places of claims.
func (r *relaying) free(all []Settlement) {
	for _, s := range all {
		f := released{organization: s.Key.OrganizationID}
		switch {
		case s.Outcome == OutcomeRetry:
			f.again = max(s.After, dueNow)
		case s.More, s.Outcome == OutcomeRelease:
			f.again = dueNow
		}
		r.settled <- f
	}
}
