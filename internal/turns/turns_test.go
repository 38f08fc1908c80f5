package turns

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A writer that keeps its turn forever blocks no other writer, and later writers still
// wait for each other.
func TestTurn_silentOwnerLosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Lines[int]
		silent := all.Turn()
		if waited, err := silent.Take(t.Context(), 0); waited || err != nil {
			t.Fatalf("Take() = %v, %v of a free turn", waited, err)
		}
		short, cancel := context.WithTimeout(t.Context(), Patience/2)
		defer cancel()
		hasty := all.Turn()
		if _, err := hasty.Take(short, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take() = %v when the context ends", err)
		}
		start := time.Now()
		second := all.Turn()
		if waited, err := second.Take(t.Context(), 0); !waited || err != nil || time.Since(start) > 2*Patience {
			t.Errorf("Take() = %v, %v after %v behind a silent writer", waited, err, time.Since(start))
		}
		got := make(chan error, 1)
		third := all.Turn()
		go func() {
			_, err := third.Take(t.Context(), 0)
			got <- err
		}()
		synctest.Wait()
		silent.Leave() // too late: the turn belongs to the second writer
		synctest.Wait()
		select {
		case <-got:
			t.Error("a writer that has lost the turn gave it to another")
		default:
		}
		second.Leave()
		if err := <-got; err != nil {
			t.Error(err)
		}
		third.Leave()
		if len(all.byKey) != 0 {
			t.Errorf("%d lines remain", len(all.byKey))
		}
		for _, l := range all.spare {
			if len(l.turn) != 0 {
				t.Error("the turn of a spare line is taken")
			}
		}
	})
}

// A turn that changes hands in time is never taken over, however long the whole line waits.
func TestTurn_slowWritersKeepIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Lines[int]
		working, most := 0, 0
		done := make(chan bool)
		for range 20 {
			go func() {
				w := all.Turn()
				_, _ = w.Take(t.Context(), 0)
				working++
				most = max(most, working)
				time.Sleep(Patience * 3 / 4)
				working--
				w.Leave()
				done <- true
			}()
			synctest.Wait()
		}
		for range 20 {
			<-done
		}
		if most != 1 {
			t.Errorf("%d writers were at work at the same time", most)
		}
	})
}
