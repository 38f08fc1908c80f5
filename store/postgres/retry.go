package postgres

import (
	"context"
	"time"
)

// A statement that the server refused because of others has written nothing, and is
// sent again. A default_transaction_isolation of the host's makes that frequent: at
// REPEATABLE READ and above others' writes fail what would have waited, and at
// SERIALIZABLE reads, too.

const (
	maxRepetitions = 60 // of a statement that others got in the way of
	maxPause       = 25 * time.Millisecond
)

// repeats counts how often a call has run again.
type repeats struct{ disturbed, replaced, replaceable int }

// again reports whether the call should run again, and waits until it should.
func (r *repeats) again(ctx context.Context, s *Store, err error) bool {
	switch {
	case s.tx != nil || ctx.Err() != nil:
		return false // a transaction is repeated as a whole
	case isDisturbed(err):
		r.disturbed++
		if r.disturbed == maxRepetitions {
			return false
		}
		pause(ctx, min(time.Duration(r.disturbed-1)*time.Millisecond, maxPause))
		return true
	case isReadOnly(err):
		// The connection was dropped, which may have outlived a failover.
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

// repeating makes a call that only reads until others are no longer in its way.
func repeating[T any](ctx context.Context, s *Store, call func() (T, error)) (T, error) {
	var repeats repeats
	v, err := call()
	for err != nil && repeats.again(ctx, s, err) {
		v, err = call()
	}
	return v, err
}
