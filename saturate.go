package incident

import (
	"math"
	"time"
)

// forever is the longest duration. A host that sets it means that something never ends.
const forever = time.Duration(math.MaxInt64)

// plus adds two durations, of which neither is negative. It does not overflow.
func plus(a, b time.Duration) time.Duration {
	if a > forever-b {
		return forever
	}
	return a + b
}
