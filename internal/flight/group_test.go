package flight

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func panicked(p any) error { return fmt.Errorf("panicked: %v", p) }

func answers(after time.Duration) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		time.Sleep(after)
		return 1, nil
	}
}

// No caller waits long for a read without an answer, and a read ends when no caller waits
// for it.
func TestGroup_silentRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = g.Do(ctx, "key", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				return 0, ctx.Err()
			})
		}()
		synctest.Wait()
		start := time.Now()
		if a, err := g.Do(t.Context(), "key", answers(0)); err != nil || a.Value != 1 || time.Since(start) > 2*groupPatience {
			t.Errorf("a read behind a silent one = %v after %v", err, time.Since(start))
		}
		start = time.Now()
		if _, err := g.Do(t.Context(), "key", answers(0)); err != nil || time.Since(start) > 0 {
			t.Errorf("the read after that = %v after %v", err, time.Since(start))
		}
		cancel()
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the silent read ends with %v", err)
			}
		default:
			t.Error("a read lasts although no caller waits for it")
		}
		if len(g.byKey) != 0 {
			t.Errorf("%d reads are kept", len(g.byKey))
		}
	})
}

// A read lasts as long as any caller waits for it, also after the caller that began it gave up.
func TestGroup_firstCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		short, cancel := context.WithTimeout(t.Context(), groupPatience/4)
		defer cancel()
		reads := 0
		read := func(ctx context.Context) (int, error) {
			reads++
			time.Sleep(groupPatience / 2)
			return 1, ctx.Err()
		}
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := g.Do(short, "key", read); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller that gives up gets %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if a, err := g.Do(t.Context(), "key", read); err != nil || a.Err != nil || a.Own || reads != 1 {
				t.Errorf("the caller that waits gets %+v, %v after %d reads", a, err, reads)
			}
		})
		all.Wait()
	})
}

// A slow store that does answer is asked a few times, however many callers wait.
func TestGroup_slowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		var mu sync.Mutex
		reads := 0
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, err := g.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
					mu.Lock()
					reads++
					mu.Unlock()
					return answers(5 * groupPatience)(ctx)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if reads > 4 {
			t.Errorf("%d reads for 100 callers", reads)
		}
	})
}

// A forgotten read answers those that have joined it, and nobody else.
func TestGroup_Forget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		reads := 0
		read := func(context.Context) (int, error) {
			reads++
			number := reads
			time.Sleep(groupPatience / 2)
			return number, nil
		}
		var all sync.WaitGroup
		do := func(want int) {
			all.Go(func() {
				if a, err := g.Do(t.Context(), "key", read); err != nil || a.Value != want {
					t.Errorf("Do = %+v, %v, want the value of read %d", a, err, want)
				}
			})
			synctest.Wait()
		}
		do(1)
		do(1)
		g.Forget("key")
		do(2)
		do(2)
		all.Wait()
	})
}

// A panic of a read is the error of all its callers, and the read is over.
func TestGroup_panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Group[string, int]{Panicked: panicked}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				a, err := g.Do(t.Context(), "key", func(context.Context) (int, error) {
					time.Sleep(groupPatience / 2)
					panic("boom")
				})
				if err != nil || a.Err == nil || a.Err.Error() != "panicked: boom" {
					t.Errorf("Do = %+v, %v", a, err)
				}
			})
		}
		all.Wait()
		if a, err := g.Do(t.Context(), "key", answers(0)); err != nil || a.Err != nil || a.Value != 1 {
			t.Errorf("after the panic, Do = %+v, %v", a, err)
		}
	})
}
