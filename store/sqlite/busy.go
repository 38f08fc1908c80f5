package sqlite

import (
	"context"
	"math/rand/v2"
	"time"
)

// whileBusy repeats attempt while another transaction is in the way, until the deadline or the
// end of the context.
func whileBusy(ctx context.Context, deadline time.Time, attempt func() error) error {
	for n := 0; ; n++ {
		err := attempt()
		if !isBusy(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(pauseAfter(n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pauseAfter returns the pause after n failed attempts. It is random, so that processes that
// wait for each other do not remain in step.
func pauseAfter(n int) time.Duration {
	longest := min(minPause<<min(n, 10), maxPause)
	return longest/2 + rand.N(longest/2)
}
