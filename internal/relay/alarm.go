package relay

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// alarm rings at each interval, and at times in between that are set or that later has.
type alarm struct {
	timer    *time.Timer
	rings    time.Time // when the timer does
	interval time.Duration
	times    times
	later    *later
}

// exactFor is how far ahead the alarm is set to an exact time. A later time waits for the
// next interval, unless the intervals are longer.
const exactFor = time.Minute

// newAlarm returns an alarm that rings at once.
func newAlarm(interval time.Duration, later *later) alarm {
	return alarm{timer: time.NewTimer(0), rings: time.Now(), interval: interval, later: later}
}

// setIn sets the alarm to ring after d.
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

// setNext sets the timer after it has rung. The interval is shortened by up to a tenth at
// random, so that processes that began together do not ask together.
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
	a.setLater()
}

// setLater sets the alarm to ring at the first time of later.
func (a *alarm) setLater() {
	if at, ok := a.later.first(); ok && at.Before(a.rings) {
		a.ring(at)
	}
}

func (a *alarm) ring(at time.Time) {
	a.rings = at
	a.timer.Reset(time.Until(at))
}

// times is a heap. Its first element is the earliest.
type times []time.Time

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i].Before(t[j]) }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(v any)        { *t = append(*t, v.(time.Time)) }

// last returns the index of the last time. It is in the second half of the heap.
func (t times) last() int {
	last := len(t) / 2
	for i := last; i < len(t); i++ {
		if t.Less(last, i) {
			last = i
		}
	}
	return last
}

func (t *times) Pop() any {
	last := len(*t) - 1
	v := (*t)[last]
	*t = (*t)[:last]
	return v
}
