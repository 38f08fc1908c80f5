package webhook

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Of two concurrent deliveries, the second waits for the first, and is handled if the
// first fails.
func TestReceiver_concurrentRepetitionWaits(t *testing.T) {
	for _, failure := range []error{nil, errors.New("failed")} {
		synctest.Test(t, func(t *testing.T) {
			secret, go1, calls := NewSecret(), make(chan error), 0
			receiver, err := NewReceiver([]Secret{secret}, func(context.Context, incident.Notification) error {
				calls++
				return <-go1
			}, &ReceiverOptions{Now: clock, Logger: new(lockedBuffer).logger()})
			if err != nil {
				t.Fatal(err)
			}
			answers := make(chan int, 2)
			for range 2 {
				go func() {
					w := httptest.NewRecorder()
					receiver.ServeHTTP(w, newDelivery(t, note(), now, secret).request(t))
					answers <- w.Code
				}()
				synctest.Wait()
			}
			if calls != 1 || len(answers) != 0 {
				t.Fatalf("%d calls, %d returned before the first was handled", calls, len(answers))
			}
			go1 <- failure
			synctest.Wait()
			if failure == nil {
				if calls != 1 || <-answers != 204 || <-answers != 204 {
					t.Errorf("%d calls, want 1 and both acknowledged", calls)
				}
				return
			}
			if calls != 2 || len(answers) != 1 || <-answers != 500 {
				t.Fatalf("%d calls, want the second to succeed after the first failed", calls)
			}
			go1 <- nil
			if got := <-answers; got != 204 {
				t.Errorf("the second got %d", got)
			}
		})
	}
}

// A waiting call ends with its own context, and calls with other IDs do not wait.
func TestMemoryLedger_waitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLedger(0)
		a, b := ID{"acme", uuid.New()}, ID{"acme", uuid.New()}
		leave, ended := make(chan bool), make(chan bool)
		go func() {
			defer close(ended)
			if first, err := l.Once(t.Context(), a, func(context.Context) error { <-leave; return nil }); !first || err != nil {
				t.Errorf("Once() = %v, %v", first, err)
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		never := func(context.Context) error { t.Error("it was handled"); return nil }
		if first, err := l.Once(ctx, a, never); first || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Once() = %v, %v, want the end of the context", first, err)
		}
		if first, err := l.Once(t.Context(), b, func(context.Context) error { return nil }); !first || err != nil {
			t.Errorf("Once() of another = %v, %v", first, err)
		}
		close(leave)
		<-ended
		if first, err := l.Once(t.Context(), a, never); first || err != nil || len(l.running) > 0 {
			t.Errorf("Once() = %v, %v afterwards, and %d run", first, err, len(l.running))
		}
	})
}

// The ledger remembers the latest successes up to its size, and no failures.
func TestMemoryLedger_forgetsTheOldest(t *testing.T) {
	l := NewMemoryLedger(3)
	var ids []ID
	for i := range 10 {
		id := ID{"acme", uuid.New()}
		ids = append(ids, id)
		boom := errors.New("boom")
		if first, err := l.Once(t.Context(), id, func(context.Context) error { return boom }); first || err != boom {
			t.Fatalf("Once() = %v, %v", first, err)
		}
		for _, want := range []bool{true, false} {
			if first, err := l.Once(t.Context(), id, func(context.Context) error { return nil }); first != want || err != nil {
				t.Fatalf("Once() = %v, %v, want %v", first, err, want)
			}
		}
		for j, old := range ids {
			if l.handled[old] != (j > i-3) {
				t.Fatalf("after %d, it knows %d: %v", i, j, l.handled[old])
			}
		}
		if len(l.handled) > 3 || len(l.order) > 3 || len(l.running) > 0 {
			t.Fatalf("it holds %d, %d and %d", len(l.handled), len(l.order), len(l.running))
		}
	}
	if NewMemoryLedger(0).size != DefaultLedgerSize || NewMemoryLedger(-1).size != DefaultLedgerSize {
		t.Error("the size has no default")
	}
}

// Under concurrency each ID succeeds once, calls do not overlap, and no call returns
// before the success.
func TestMemoryLedger_oneSuccessPerID(t *testing.T) {
	const callers, ids = 64, 20
	l := NewMemoryLedger(0)
	var running, succeeded [ids]atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range 200 {
				i := rand.IntN(ids)
				first, err := l.Once(context.Background(), ID{"acme", uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))}, func(context.Context) error {
					if running[i].Add(1) != 1 {
						t.Error("two calls handle an ID at the same time")
					}
					defer running[i].Add(-1)
					if rand.IntN(4) > 0 {
						return errors.New("failed")
					}
					succeeded[i].Add(1)
					return nil
				})
				if err == nil && !first && succeeded[i].Load() != 1 {
					t.Errorf("a repetition was acknowledged after %d successes", succeeded[i].Load())
				}
			}
		})
	}
	all.Wait()
	for i := range succeeded {
		if n := succeeded[i].Load(); n != 1 {
			t.Errorf("%d succeeded %d times", i, n)
		}
	}
}
