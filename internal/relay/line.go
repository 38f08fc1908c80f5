package relay

import (
	"iter"
	"time"
)

// Line has entries in order of their times. Most entries leave it before their times. With a timer for
// each, starting and stopping timers would be a good part of a short delivery. Therefore a line has a
// single timer, which is set for the first entry, and set again only when it has rung.
//
// The mutex of the owner guards a line and its entries.
type Line[T any] struct {
	// Ring is called without the mutex when the time of an entry may have come. It must call Next
	// until that returns nil.
	Ring func()

	first, last *Entry[T]
	timer       *time.Timer
	isSet       bool // the timer will ring
}

// Entry is an entry of at most one line at a time.
type Entry[T any] struct {
	Of T

	at             time.Time
	isIn           bool
	previous, next *Entry[T]
}

// Add adds an entry. Its time must not be before those of the others.
func (l *Line[T]) Add(e *Entry[T], at time.Time) {
	e.at, e.isIn = at, true
	if e.previous = l.last; l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
	if !l.isSet {
		l.set()
	}
}

// Remove removes an entry, and reports whether it was in the line. The entry does not refer to others
// then, since its owner may keep it for long.
func (l *Line[T]) Remove(e *Entry[T]) bool {
	if !e.isIn {
		return false
	}
	e.isIn = false
	if e.previous == nil {
		l.first = e.next
	} else {
		e.previous.next = e.next
	}
	if e.next == nil {
		l.last = e.previous
	} else {
		e.next.previous = e.previous
	}
	e.previous, e.next = nil, nil
	return true
}

// Next removes and returns the first entry if its time has come. Otherwise it returns nil, and sets the
// timer for the first entry.
func (l *Line[T]) Next(now time.Time) *Entry[T] {
	if e := l.first; e != nil && !now.Before(e.at) {
		l.Remove(e)
		return e
	}
	l.set()
	return nil
}

// All yields the entries. The loop may remove the entry that it has.
func (l *Line[T]) All() iter.Seq[*Entry[T]] {
	return func(yield func(*Entry[T]) bool) {
		for e := l.first; e != nil; {
			next := e.next
			if !yield(e) {
				return
			}
			e = next
		}
	}
}

// set sets the timer for the first entry, if there is one.
func (l *Line[T]) set() {
	l.isSet = l.first != nil
	switch {
	case !l.isSet:
	case l.timer == nil:
		l.timer = time.AfterFunc(time.Until(l.first.at), l.Ring)
	default:
		l.timer.Reset(time.Until(l.first.at))
	}
}
