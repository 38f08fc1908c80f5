//go:build unix

package pgtest

import (
	"slices"
	"testing"
	"time"
)

// Both ways to find the processes of a server find the same ones.
func TestProcessesNaming(t *testing.T) {
	s, err := StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	var in, naming []int
	for range 20 { // a server starts processes of its own accord
		in, naming = processesIn(s.home.dir), processesNaming(s.home.dir)
		slices.Sort(in)
		slices.Sort(naming)
		if len(in) >= 3 && slices.Equal(in, naming) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("the processes %v are in the folder, and %v name it", in, naming)
}
