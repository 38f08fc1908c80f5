package postgres

import (
	"context"
	"errors"
	"testing"
)

// An attempt that its caller watches runs in the caller's goroutine, and reports that it was abandoned.
func TestWithin_watched(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failure := errors.New("the connection failed")
	for _, isAbandoned := range []bool{false, true} {
		a, want := &attempt{watched: true}, failure
		if isAbandoned {
			want = errAbandoned
		}
		ran := false // not guarded: the race detector reports another goroutine
		_, err := within(ctx, a, func() (none struct{}, err error) {
			ran = true
			cancel()
			if isAbandoned {
				a.abandon()
			}
			return none, failure
		}, nil)
		if !ran || !errors.Is(err, want) {
			t.Errorf("within() = %v, want %v after the call", err, want)
		}
	}
}
