package relay

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A full list keeps the earliest times, and reports each time once it has come.
func TestLater_keepsTheEarliest(t *testing.T) {
	l, start := newLater(), time.Now()
	for _, i := range rand.Perm(2 * mostLater) {
		l.add(start.Add(time.Duration(i)))
	}
	for i := range mostLater {
		at, ok := l.first()
		if !ok || !at.Equal(start.Add(time.Duration(i))) {
			t.Fatalf("the first time is %v after the start, %t, want %d ns", at.Sub(start), ok, i)
		}
		if l.pass(at.Add(-1)) || !l.pass(at) {
			t.Fatalf("time %d comes early or never", i)
		}
	}
	if at, ok := l.first(); ok || l.pass(start.Add(time.Hour)) {
		t.Errorf("beyond the bound, %v is left", at)
	}
}
