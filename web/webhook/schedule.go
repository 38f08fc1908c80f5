package webhook

import (
	"math/rand/v2"
	"time"

	"github.com/incidentkit/incident"
)

const (
	firstDelay   = time.Second
	longestDelay = 8 * time.Hour

	// maxAttempts is 15 doubled delays, 9 h together, and then 8 of the longest: 73 h.
	maxAttempts = 24
)

// NotifyOptions returns options of a Manager that suit a [Notifier] with the default
// Timeout. A notification is attempted 24 times within three days, with delays of 1 s,
// doubled by each further failure up to 8 h, and then varied by up to a tenth at random.
// Only then is it parked. The later notifications of its incident wait until then.
func NotifyOptions() incident.NotifyOptions {
	return incident.NotifyOptions{
		// The Notifier ends first, and returns an error that says why.
		Timeout:     DefaultTimeout + 5*time.Second,
		MaxAttempts: maxAttempts,
		Backoff:     backoff,
	}
}

// backoff returns the delay after the n-th failure, from 1.
func backoff(n int) time.Duration {
	d := longestDelay
	if n <= 15 {
		d = min(firstDelay<<max(n-1, 0), longestDelay)
	}
	return d*9/10 + rand.N(d/5)
}
