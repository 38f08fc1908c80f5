package incident

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A writer who keeps the turn for ever stops nobody, and those who come later wait
// for each other as before.
func TestQueues_silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all queues
		silent := turn{queues: &all}
		if waited, err := silent.take(t.Context(), place{}); waited || err != nil {
			t.Fatalf("take() = %v, %v of a free turn", waited, err)
		}
		short, cancel := context.WithTimeout(t.Context(), turnPatience/2)
		defer cancel()
		hasty := turn{queues: &all}
		if _, err := hasty.take(short, place{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("take() = %v when the context ends", err)
		}
		start := time.Now()
		second := turn{queues: &all}
		if waited, err := second.take(t.Context(), place{}); !waited || err != nil || time.Since(start) > 2*turnPatience {
			t.Errorf("take() = %v, %v after %v behind a silent writer", waited, err, time.Since(start))
		}
		got := make(chan error, 1)
		third := turn{queues: &all}
		go func() {
			_, err := third.take(t.Context(), place{})
			got <- err
		}()
		synctest.Wait()
		silent.leave() // too late: the turn is the second one's
		synctest.Wait()
		select {
		case <-got:
			t.Error("who has lost the turn gives it on")
		default:
		}
		second.leave()
		if err := <-got; err != nil {
			t.Error(err)
		}
		third.leave()
		if len(all.by) != 0 {
			t.Errorf("%d queues remain", len(all.by))
		}
		for _, q := range all.spare {
			if len(q.turn) != 0 {
				t.Error("a spare queue's turn is taken")
			}
		}
	})
}

// As long as the turn is passed on, nobody takes it out of turn, however long all
// that wait last together.
func TestQueues_slowWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all queues
		working, most := 0, 0
		done := make(chan bool)
		for range 20 {
			go func() {
				w := turn{queues: &all}
				_, _ = w.take(t.Context(), place{})
				working++
				most = max(most, working)
				time.Sleep(turnPatience * 3 / 4)
				working--
				w.leave()
				done <- true
			}()
			synctest.Wait()
		}
		for range 20 {
			<-done
		}
		if most != 1 {
			t.Errorf("%d writers were at work at a time", most)
		}
	})
}
