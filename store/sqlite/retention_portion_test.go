package sqlite_test

import (
	"testing"
	"time"

	"github.com/incidentkit/incident/store/sqlite"
)

// A portion takes at most 2 ms, and 500 µs while another write waits.
func TestPortion_yields(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]struct{ alone, awaited bool }{
		400 * time.Microsecond:  {false, false},
		600 * time.Microsecond:  {false, true},
		2100 * time.Microsecond: {true, true},
	} {
		for awaited, late := range map[bool]bool{false: want.alone, true: want.awaited} {
			if got := sqlite.IsLate(took, func() bool { return awaited }); got != late {
				t.Errorf("a portion ends after %v: %t, want %t (another write waits: %t)", took, got, late, awaited)
			}
		}
	}
}
