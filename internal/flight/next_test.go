package flight

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowReads takes a while for each read, and numbers them. A read returns its number.
type slowReads struct {
	Next[int, int]
	mu     sync.Mutex // guards the fields below
	shared int
	begun  int
	fails  bool // the second one
	panics bool // likewise
}

var errSecond = errors.New("the second read fails")

func (s *slowReads) read(context.Context, int) (int, error) {
	s.mu.Lock()
	s.begun++
	number := s.begun
	s.mu.Unlock()
	time.Sleep(nextPatience / 4)
	switch {
	case s.fails && number == 2:
		return 0, errSecond
	case s.panics && number == 2:
		panic("boom")
	}
	return number, nil
}

// numbers makes one read, n more during that, and another during the second. It returns
// the answers.
func (s *slowReads) numbers(t *testing.T, n int) (all []int) {
	t.Helper()
	s.Panicked = panicked
	var wg sync.WaitGroup
	read := func() {
		number, shared, err := s.Do(t.Context(), 0, s.read)
		if err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if shared {
			s.shared++
		}
		all = append(all, number)
	}
	wg.Go(read)
	synctest.Wait()
	for range n {
		wg.Go(read)
	}
	time.Sleep(nextPatience / 4 * 3 / 2)
	wg.Go(read) // during the second one
	wg.Wait()
	return all
}

// A caller that asks during a read gets none that began before, and shares the next one
// with all others that asked.
func TestNext_beginsAfterAllHaveAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slowReads
		for i, number := range s.numbers(t, 10) {
			if want := []int{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3}[i]; number != want {
				t.Errorf("the answer of index %d is of read %d, want %d", i, number, want)
			}
		}
		if s.begun != 3 || s.shared != 11 {
			t.Errorf("%d reads were made and %d calls shared one, want 3 and 11", s.begun, s.shared)
		}
		synctest.Wait()
		if len(s.byKey) != 0 {
			t.Error("a read that has ended is kept")
		}
	})
}

func TestNext_failureIsNotShared(t *testing.T) {
	for name, s := range map[string]func() *slowReads{
		"error": func() *slowReads { return &slowReads{fails: true} },
		"panic": func() *slowReads { return &slowReads{panics: true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := len(s().numbers(t, 3)); got != 5 {
					t.Errorf("%d of 5 reads have an answer", got)
				}
			})
		})
	}
}

// No caller waits long for a read without an answer.
func TestNext_silentRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slowReads
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		go func() {
			_, _, _ = s.Do(ctx, 0, func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
		}()
		synctest.Wait()
		short, end := context.WithTimeout(t.Context(), nextPatience/4)
		defer end()
		if _, _, err := s.Do(short, 0, s.read); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read whose context ends while it waits = %v", err)
		}
		start := time.Now()
		if _, _, err := s.Do(t.Context(), 0, s.read); err != nil || time.Since(start) > 2*nextPatience {
			t.Errorf("a read behind a silent one ends after %v with %v", time.Since(start), err)
		}
		start = time.Now()
		if _, _, err := s.Do(t.Context(), 0, s.read); err != nil || time.Since(start) > nextPatience {
			t.Errorf("the read after that ends after %v with %v", time.Since(start), err)
		}
		cancel()
		time.Sleep(time.Second) // until the next read has ended too
	})
}
