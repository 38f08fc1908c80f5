package relay

import (
	"container/heap"
	"sync"
	"time"
)

// mostLater bounds the times that later remembers. Beyond it, the last time is forgotten: a queue
// that is due then is found at the next interval of the alarm.
const mostLater = 4096

// later remembers when something that this process has queued will be due. It is safe for use by
// many goroutines.
type later struct {
	changed chan struct{} // holds a token after a time was added

	mu    sync.Mutex // guards times
	times times
}

func newLater() *later { return &later{changed: make(chan struct{}, 1)} }

// add adds a time.
func (l *later) add(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.times) == mostLater {
		last := l.times.last()
		if !at.Before(l.times[last]) {
			return
		}
		heap.Remove(&l.times, last)
	}
	heap.Push(&l.times, at)
	signal(l.changed)
}

// first returns the earliest time.
func (l *later) first() (at time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.times) == 0 {
		return at, false
	}
	return l.times[0], true
}

// pass removes the times that have come, and reports whether there was any.
func (l *later) pass(now time.Time) (came bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.times) > 0 && !l.times[0].After(now) {
		heap.Pop(&l.times)
		came = true
	}
	return came
}
