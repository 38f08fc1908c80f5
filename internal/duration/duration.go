// Package duration adds durations that may be as long as a host likes, and pauses for them.
package duration

import (
	"context"
	"math"
	"time"
)

// Forever is the longest duration. A host sets it for something that never ends.
const Forever = time.Duration(math.MaxInt64)

// Add returns the sum of two durations that are not negative, and Forever if it overflows.
func Add(a, b time.Duration) time.Duration {
	if a > Forever-b {
		return Forever
	}
	return a + b
}

// Pause waits for d or for the end of ctx. It returns at once if d is not positive.
func Pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
