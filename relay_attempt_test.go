package incident

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident/internal/relay"
)

// The end of a Run ends the contexts of its own attempts. A call of interrupt may come late, when the
// next Run has begun attempts; a context that ends without an error panics in package context.
func TestAttempts_endWithTheirRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var as attempts
		begin := func() (a *attempt, stop context.CancelFunc) {
			ctx, stop := context.WithCancel(t.Context())
			a = &attempt{sending: &relay.Sending{Context: ctx}}
			as.begin(a, time.Now().Add(time.Minute))
			return a, stop
		}
		ended, stop := begin()
		next, stopNext := begin()
		defer stopNext()
		derived, cancel := context.WithCancel(next.ctx)
		defer cancel()
		stop()
		synctest.Wait()
		if err := ended.ctx.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("the context of an attempt of the Run that has ended ends with %v", err)
		}
		if next.ctx.Err() != nil || derived.Err() != nil {
			t.Errorf("the context of an attempt of the next Run ends with %v, a derived context with %v", next.ctx.Err(), derived.Err())
		}
		if !as.end(ended) || !as.end(next) {
			t.Error("an attempt that returned in time was settled by another goroutine")
		}
	})
}
