package incident

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowReads takes a while for each read, and numbers them. A read returns the number
// as a version.
type slowReads struct {
	freshReads
	shared atomic.Uint64
	mu     sync.Mutex // guards what is below
	begun  int64
	fails  bool // the second one
}

func (s *slowReads) fetch(context.Context, place) (*State, error) {
	s.mu.Lock()
	s.begun++
	number := s.begun
	s.mu.Unlock()
	time.Sleep(sharePatience / 4)
	if s.fails && number == 2 {
		return nil, ErrUnavailable
	}
	return &State{Incident: Incident{Version: number}}, nil
}

// versions makes a read, n while that is on its way, and one more during the second. It
// returns what they got.
func (s *slowReads) versions(t *testing.T, n int) (all []int64) {
	t.Helper()
	s.freshReads.shared = &s.shared
	var wg sync.WaitGroup
	read := func() {
		state, err := s.read(t.Context(), place{}, s.fetch)
		if err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		all = append(all, state.Incident.Version)
	}
	wg.Go(read)
	synctest.Wait()
	for range n {
		wg.Go(read)
	}
	time.Sleep(sharePatience / 4 * 3 / 2)
	wg.Go(read) // while the second one is on its way
	wg.Wait()
	return all
}

// Who asks while a read is on its way gets none that began before, and all who do share
// the next one.
func TestFreshReads_beginAfterAllHaveAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slowReads
		for i, version := range s.versions(t, 10) {
			if want := []int64{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3}[i]; version != want {
				t.Errorf("the %d. answer is of read %d, want %d", i+1, version, want)
			}
		}
		if s.begun != 3 || s.shared.Load() != 11 {
			t.Errorf("%d reads were made and %d calls shared one, want 3 and 11", s.begun, s.shared.Load())
		}
		synctest.Wait()
		if len(s.by) != 0 {
			t.Error("a read is kept that has ended")
		}
	})
}

func TestFreshReads_failureIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowReads{fails: true}
		if got := len(s.versions(t, 3)); got != 5 {
			t.Errorf("%d of 5 reads have an answer", got)
		}
	})
}

// Nobody waits for long for a read that gets no answer.
func TestFreshReads_silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowReads{freshReads: freshReads{shared: new(atomic.Uint64)}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		go func() {
			_, _ = s.read(ctx, place{}, func(ctx context.Context, _ place) (*State, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}()
		synctest.Wait()
		short, end := context.WithTimeout(t.Context(), sharePatience/4)
		defer end()
		if _, err := s.read(short, place{}, s.fetch); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read whose context ends while it waits = %v", err)
		}
		start := time.Now()
		if _, err := s.read(t.Context(), place{}, s.fetch); err != nil || time.Since(start) > 2*sharePatience {
			t.Errorf("a read behind a silent one ends after %v with %v", time.Since(start), err)
		}
		start = time.Now()
		if _, err := s.read(t.Context(), place{}, s.fetch); err != nil || time.Since(start) > sharePatience {
			t.Errorf("a read after that ends after %v with %v", time.Since(start), err)
		}
		cancel()
		time.Sleep(time.Second) // until the next read has ended too
	})
}
