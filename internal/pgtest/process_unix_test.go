//go:build unix

package pgtest

import (
	"slices"
	"testing"
	"time"
)

// Both ways to find a server's processes return the same processes.
func TestProcessesNaming_findsTheSame(t *testing.T) {
	s, err := StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	var in, naming []int
	// The server may start a process at any time.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		in, naming = processesIn(s.home.dir), processesNaming(s.home.dir)
		slices.Sort(in)
		slices.Sort(naming)
		if len(in) >= 3 && slices.Equal(in, naming) {
			return
		}
	}
	t.Errorf("the processes %v are in the folder, and %v name it", in, naming)
}
