package incident_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// derivation is the context of an attempt and what a notifier has made of it.
type derivation struct {
	ctx, derived  context.Context
	cancel        context.CancelFunc // of derived
	begun, called time.Time          // called is when AfterFunc has called
	stopped       bool               // the function of stop was called
	hasStopped    bool               // stop has stopped it
}

func derive(ctx context.Context) *derivation {
	d := &derivation{ctx: ctx, begun: time.Now()}
	type key struct{}
	d.derived, d.cancel = context.WithCancel(context.WithValue(ctx, key{}, 1))
	context.AfterFunc(ctx, func() { d.called = time.Now() })
	d.hasStopped = context.AfterFunc(ctx, func() { d.stopped = true })()
	return d
}

func (d *derivation) check(t *testing.T, want error, ended time.Time) {
	t.Helper()
	synctest.Wait()
	defer d.cancel()
	for _, ctx := range []context.Context{d.ctx, d.derived} {
		if !errors.Is(ctx.Err(), want) || !errors.Is(context.Cause(ctx), want) {
			t.Errorf("a context ends with %v because of %v, want %v", ctx.Err(), context.Cause(ctx), want)
		}
		select {
		case <-ctx.Done():
		default:
			t.Error("a context that has ended is not done")
		}
	}
	if !d.called.Equal(ended) {
		t.Errorf("a function of AfterFunc was called at %v, want %v", d.called, ended)
	}
	if !d.hasStopped || d.stopped {
		t.Error("a function of AfterFunc was not stopped")
	}
	late := make(chan struct{})
	stop := context.AfterFunc(d.ctx, func() { close(late) })
	<-late
	if stop() {
		t.Error("a function that was called has been stopped")
	}
}

// The context of an attempt ends with the attempt, at its time limit, or when the grace of Run is over,
// and with it the contexts that the notifier derives from it.
func TestRelay_contextOfAttempt(t *testing.T) {
	const timeout, grace = 7 * time.Second, 3 * time.Second
	for name, test := range map[string]struct {
		takes, stops time.Duration // the attempt, and when Run is asked to end
		want         error
		after        time.Duration
	}{
		"in time":            {time.Second, time.Minute, context.Canceled, time.Second},
		"late":               {20 * time.Second, time.Minute, context.DeadlineExceeded, timeout},
		"until the grace":    {20 * time.Second, 2 * time.Second, context.Canceled, 2*time.Second + grace},
		"Run ends meanwhile": {time.Second, 500 * time.Millisecond, context.Canceled, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var got []*derivation
			notify := incident.NotifyOptions{Timeout: timeout, Grace: grace, Backoff: func(int) time.Duration { return time.Hour }}
			inOffice(t, incident.Options{Notify: notify}, func(t *testing.T, o *office) {
				o.fails(func(ctx context.Context, _ incident.Notification) error {
					d := derive(ctx)
					o.mu.Lock()
					got = append(got, d)
					o.mu.Unlock()
					if end, ok := ctx.Deadline(); !ok || !end.Equal(d.begun.Add(timeout)) || ctx.Err() != nil {
						t.Errorf("an attempt at %v has the deadline %v and the error %v", d.begun, end, ctx.Err())
					}
					time.Sleep(test.takes)
					return nil
				})
				o.mustCreate(t, "acme")
				time.Sleep(test.stops)
				o.stop()
				time.Sleep(time.Minute)
				if len(got) == 0 {
					t.Fatal("no attempt was made")
				}
				for _, d := range got {
					d.check(t, test.want, d.begun.Add(test.after))
				}
			})
		})
	}
}
