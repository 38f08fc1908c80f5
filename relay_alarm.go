package incident

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// alarm goes off at each interval, and at the times that it is set to between them.
type alarm struct {
	timer    *time.Timer
	rings    time.Time // when the timer does
	interval time.Duration
	times    times
}

// exactFor is how long before a time it is told from the next end of an interval, unless the
// intervals are longer.
const exactFor = time.Minute

// newAlarm returns one that goes off at once.
func newAlarm(interval time.Duration) alarm {
	return alarm{timer: time.NewTimer(0), rings: time.Now(), interval: interval}
}

// setIn has it go off after d.
func (a *alarm) setIn(d time.Duration) {
	if d > exactFor && a.interval <= exactFor {
		return
	}
	at := time.Now().Add(d)
	heap.Push(&a.times, at)
	if at.Before(a.rings) {
		a.ring(at)
	}
}

// setNext sets the timer, which has gone off.
func (a *alarm) setNext() {
	now := time.Now()
	next := now.Add(a.interval - a.interval/10 + rand.N(a.interval/10+1))
	for len(a.times) > 0 && !a.times[0].After(now) {
		heap.Pop(&a.times)
	}
	if len(a.times) > 0 && a.times[0].Before(next) {
		next = a.times[0]
	}
	a.ring(next)
}

func (a *alarm) ring(at time.Time) {
	a.rings = at
	a.timer.Reset(time.Until(at))
}

// times is a heap, of which the first is the earliest.
type times []time.Time

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i].Before(t[j]) }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(v any)        { *t = append(*t, v.(time.Time)) }

func (t *times) Pop() any {
	last := len(*t) - 1
	v := (*t)[last]
	*t = (*t)[:last]
	return v
}
