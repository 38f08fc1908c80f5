package incident

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func hangs(ctx context.Context) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func answers(after time.Duration) func(context.Context) (any, error) {
	return func(context.Context) (any, error) {
		time.Sleep(after)
		return 1, nil
	}
}

// Nobody waits for long for a load that has no answer, and a load that nobody waits
// for any more ends.
func TestFlights_silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _, _ = f.wait(ctx, "key", func(ctx context.Context) (any, error) {
				_, err := hangs(ctx)
				ended <- err
				return nil, err
			})
		}()
		synctest.Wait()
		start := time.Now()
		if l, _, err := f.wait(t.Context(), "key", answers(0)); err != nil || l.value != 1 || time.Since(start) > 2*loadPatience {
			t.Errorf("a load behind a silent one = %v after %v", err, time.Since(start))
		}
		start = time.Now()
		if _, _, err := f.wait(t.Context(), "key", answers(0)); err != nil || time.Since(start) > 0 {
			t.Errorf("a load after that = %v after %v", err, time.Since(start))
		}
		cancel()
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the silent load ends with %v", err)
			}
		default:
			t.Error("a load lasts that nobody waits for")
		}
		if len(f.by) != 0 {
			t.Errorf("%d loads are kept", len(f.by))
		}
	})
}

// A load lasts as long as anybody waits for it, whose context began it or not.
func TestFlights_firstGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		short, cancel := context.WithTimeout(t.Context(), loadPatience/4)
		defer cancel()
		loads := 0
		load := func(ctx context.Context) (any, error) {
			loads++
			time.Sleep(loadPatience / 2)
			return 1, ctx.Err()
		}
		var all sync.WaitGroup
		all.Go(func() {
			if _, _, err := f.wait(short, "key", load); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who gives up gets %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if l, own, err := f.wait(t.Context(), "key", load); err != nil || l.err != nil || own || loads != 1 {
				t.Errorf("who waits gets %v, %v after %d loads", err, l.err, loads)
			}
		})
		all.Wait()
	})
}

// A store that is slow but answers is asked a few times, however many wait.
func TestFlights_slowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var mu sync.Mutex
		loads := 0
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, _, err := f.wait(t.Context(), "key", func(ctx context.Context) (any, error) {
					mu.Lock()
					loads++
					mu.Unlock()
					return answers(5 * loadPatience)(ctx)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if loads > 4 {
			t.Errorf("%d loads for 100 who wait", loads)
		}
	})
}
