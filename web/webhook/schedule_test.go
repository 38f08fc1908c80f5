package webhook

import (
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// The delays grow, vary, and span three days together.
func TestNotifyOptions_spansDays(t *testing.T) {
	o := NotifyOptions()
	var least, most, last time.Duration
	for n := 1; n < o.MaxAttempts; n++ {
		shortest, longest := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			d := o.Backoff(n)
			shortest, longest = min(shortest, d), max(longest, d)
		}
		middle := min(time.Second<<(n-1), 8*time.Hour)
		if shortest < middle*9/10 || longest > middle*11/10 || longest-shortest < middle/10 || longest < last {
			t.Errorf("failure %d: %v to %v, after at most %v", n, shortest, longest, last)
		}
		least, most, last = least+shortest, most+longest, shortest
	}
	if least < 60*time.Hour || most > 90*time.Hour {
		t.Errorf("the attempts span %v to %v", least, most)
	}
	for n := -1; n < 300; n++ { // a host may allow more attempts
		if d := o.Backoff(n); d <= 0 || d > 9*time.Hour {
			t.Errorf("failure %d: %v", n, d)
		}
	}
}

// A request may take 15 to 30 s, and the Manager does not end it earlier.
func TestNotifyOptions_timeout(t *testing.T) {
	o := NotifyOptions()
	if DefaultTimeout < 15*time.Second || o.Timeout <= DefaultTimeout || o.Timeout > 30*time.Second {
		t.Errorf("a request ends after %v, and a call of the Notifier after %v", DefaultTimeout, o.Timeout)
	}
	if _, err := incident.New(memory.New(), &incident.Options{Notifier: mustNotifier(t, "https://example.com/", nil), Notify: o}); err != nil {
		t.Error(err)
	}
}
