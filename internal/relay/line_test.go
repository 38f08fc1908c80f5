package relay

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A line rings for the entries that have not left it, each at its time.
func TestLine_rings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var line Line[int]
		var rung []string
		start := time.Now()
		line.Ring = func() {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			for e := line.Next(now); e != nil; e = line.Next(now) {
				rung = append(rung, fmt.Sprint(e.Of, " after ", now.Sub(start)))
			}
		}
		entries := make([]Entry[int], 6)
		mu.Lock()
		for i := range entries {
			entries[i].Of = i
			line.Add(&entries[i], start.Add(time.Duration(i/2+1)*time.Second))
		}
		for _, i := range []int{0, 3, 5} { // the first, one in between, and the last
			if !line.Remove(&entries[i]) || line.Remove(&entries[i]) {
				t.Errorf("entry %d is not removed once", i)
			}
		}
		mu.Unlock()
		time.Sleep(10 * time.Second)
		mu.Lock()
		line.Add(&entries[0], time.Now().Add(time.Second))
		mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := []string{"1 after 1s", "2 after 2s", "4 after 3s", "0 after 11s"}; !slices.Equal(rung, want) {
			t.Errorf("the entries came %q, want %q", rung, want)
		}
	})
}
