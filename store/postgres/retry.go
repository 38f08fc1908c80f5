package postgres

import (
	"context"
	"math/rand/v2"
	"time"
)

// A statement that the server refused because of other writers has written nothing, and is
// sent again. A host's default_transaction_isolation makes that frequent: at REPEATABLE
// READ and above a write fails where it would otherwise wait, and at SERIALIZABLE a read
// can fail too.
//
// A write that has lost several times waits for its turn: see write_turn.go.

const (
	// maxDisturbedTime bounds how long a call is repeated while others disturb it, from the
	// first disturbance on. It bounds calls whose context has no end.
	maxDisturbedTime = time.Minute

	maxPause = 25 * time.Millisecond // before a repetition
)

// repeats counts the repetitions of a call.
type repeats struct {
	disturbed, replaced, replaceable int

	losses         int       // disturbances by writers of the same rows
	disturbedSince time.Time // the first disturbance
}

// again reports whether to repeat the call after err. It waits until then.
func (r *repeats) again(ctx context.Context, s *Store, err error) bool {
	switch {
	case s.tx != nil || endOf(ctx) != nil:
		return false // a transaction is repeated as a whole
	case isDisturbed(err):
		if r.disturbed == 0 {
			r.disturbedSince = time.Now()
		}
		if time.Since(r.disturbedSince) >= maxDisturbedTime {
			return false
		}
		r.disturbed++
		if !isMoving(err) {
			r.losses++
		}
		pause(ctx, min(time.Duration(r.disturbed-1)*time.Millisecond, maxPause))
		return true
	case isReadOnly(err):
		// The connection was dropped. It may have outlived a failover.
		if r.replaced == 0 {
			r.replaceable = s.replaceable()
		}
		r.replaced++
		if r.replaced > r.replaceable {
			s.allReadOnly()
			return false
		}
		return true
	}
	return false
}

// repeating makes a call, and repeats it while other writers disturb it.
func repeating[T any](ctx context.Context, s *Store, call func() (T, error)) (T, error) {
	var repeats repeats
	v, err := call()
	for err != nil && repeats.again(ctx, s, err) {
		v, err = call()
	}
	return v, err
}

// pause waits for about d, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
