package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
)

// A context may end at any moment of a write. The error is then the context's error, and
// also ErrUnknownOutcome if the write may have succeeded.
func TestStore_contextEnds(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	ends := map[string]func(context.Context, time.Duration) (context.Context, context.CancelFunc){
		"expires": context.WithTimeout,
		"is cancelled": func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(d, cancel)
			return ctx, cancel
		},
	}
	calls := 5
	if long {
		calls = 40
	}
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			before, after := traces(t, w)
			l := lossies(t)
			usual := l.usual(t, w)
			for name, end := range ends {
				failed := 0
				for i := 0; i < calls || failed == 0 && i < 1000; i++ {
					l.empty(t)
					key := mustBegin(t, l.past)
					ctx, cancel := end(t.Context(), rand.N(usual))
					start := time.Now()
					err := w.call(ctx, l.past, key)
					took, ended := time.Since(start), ctx.Err()
					cancel()
					if err == nil {
						usual = min(usual, took) // which was too long if the machine stood still
					} else if failed++; !errors.Is(err, ended) {
						t.Errorf("%s: error = %v, want the context's, %v", name, err, ended)
					}
					pgtest.AwaitIdle(t, l.pool)
					checkTrace(t, trace(t, l.past), before, after, err)
				}
				if failed == 0 {
					t.Errorf("no call failed though its context %s", name)
				}
			}
		})
	}
}

// A call whose context ended before its last reply came does not succeed.
func TestStore_contextEndsBeforeReply(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			before, after := traces(t, w)
			l := lossies(t)
			for n, ended := 1, 1; ended > 0; n++ {
				key := l.prepare(t, w)
				ctx, cancel := context.WithCancel(t.Context())
				l.proxy.Before(n, cancel)
				err := w.call(ctx, l.through, key)
				ended = l.proxy.Heal()
				cancel()
				if ended > 0 && !errors.Is(err, context.Canceled) {
					t.Errorf("round trip %d: error = %v, want the context's", n, err)
				}
				checkTrace(t, trace(t, l.past), before, after, err)
			}
		})
	}
}

// usual returns the duration of an undisturbed call.
func (l *lossy) usual(t *testing.T, w write) time.Duration {
	t.Helper()
	var took time.Duration
	for range 2 { // the first call also prepares its statements
		l.empty(t)
		key := mustBegin(t, l.past)
		start := time.Now()
		if err := w.call(t.Context(), l.past, key); err != nil {
			t.Fatal(err)
		}
		took = time.Since(start)
	}
	return took
}

// A silent server does not make a call last longer than its context.
func TestStore_silence(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			before, after := traces(t, w)
			l := lossies(t)
			slow := 0
			for n := 1; n < 4; n++ {
				key := l.prepare(t, w)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				l.proxy.Do(pgtest.Silence, 0, n, 1000)
				start := time.Now()
				err := w.call(ctx, l.through, key)
				took := time.Since(start)
				ended := ctx.Err()
				cancel()
				if l.proxy.Heal() == 0 {
					break
				}
				if !errors.Is(err, context.DeadlineExceeded) || ended == nil {
					t.Errorf("round trip %d: error = %v, want the context's", n, err)
				}
				checkTrace(t, trace(t, l.past), before, after, err)
				// A busy machine may be late a few times, but not five times in turn.
				if took <= time.Second {
					slow = 0
				} else if slow++; slow < 5 {
					n--
				} else {
					t.Fatalf("round trip %d: the call took %v, as it did four times before; its context ended after 50 ms", n, took)
				}
			}
		})
	}
}

// Reads end with their context too.
func TestStore_silentReads(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	key := mustBegin(t, l.through)
	for _, op := range operations("any") {
		switch op.name {
		case "Get", "Details", "SeenBy", "Subscribers", "Activities", "List":
		default:
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		l.proxy.Do(pgtest.Silence, 0, 1, 1000)
		err := op.call(ctx, l.through, key)
		cancel()
		l.proxy.Heal()
		dropIdle(t, l.proxied)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, incident.ErrUnknownOutcome) {
			t.Errorf("%s: error = %v, want the context's", op.name, err)
		}
	}
}
