package memory

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// uuidRun locates consecutive activities of an incident that also have consecutive UUIDs.
// Package incident generates such UUIDs for the activities of a change. A uuidRun has no
// pointers, so a large tree costs the garbage collector nothing.
type uuidRun struct {
	high, low  uint64 // the first UUID
	length     int64
	identifier int64
	sequence   int64 // of the first activity
}

func uuidRunOf(id uuid.UUID) uuidRun {
	return uuidRun{high: binary.BigEndian.Uint64(id[:8]), low: binary.BigEndian.Uint64(id[8:]), length: 1}
}

func (n uuidRun) less(other uuidRun) bool {
	if n.high != other.high {
		return n.high < other.high
	}
	return n.low < other.low
}

// precedes reports whether next, a run of length 1, directly follows n.
func (n uuidRun) precedes(next uuidRun) bool {
	return n.high == next.high && n.low+uint64(n.length) == next.low && next.low > n.low
}

// uuidRuns calls fn with each run of the record's activities, starting at sequence from.
func (r *record) uuidRuns(from int64, fn func(uuidRun)) {
	var current uuidRun
	for i := range r.activities[from-1:] {
		sequence := from + int64(i)
		next := uuidRunOf(r.activities[sequence-1].notification)
		if current.length > 0 && current.precedes(next) {
			current.length++
			continue
		}
		if current.length > 0 {
			fn(current)
		}
		current = next
		current.identifier, current.sequence = r.incident.Identifier, sequence
	}
	if current.length > 0 {
		fn(current)
	}
}

// indexUUIDs adds the record's activities to byNotification, starting at sequence from.
func (o *organization) indexUUIDs(r *record, from int64) {
	r.uuidRuns(from, func(n uuidRun) {
		o.byNotification.Load(n) // as Set, but faster at the end
		if o.lastRun.less(n) {
			o.lastRun = n
		}
	})
}

// unindexUUIDs undoes indexUUIDs.
func (o *organization) unindexUUIDs(r *record, from int64) {
	r.uuidRuns(from, func(n uuidRun) { o.byNotification.Delete(n) })
	o.lastRun, _ = o.byNotification.Max()
}

// findNotification returns the identifier of the incident and the sequence of the
// activity with the given NotificationUUID.
func (o *organization) findNotification(id uuid.UUID) (identifier, sequence int64, known bool) {
	want := uuidRunOf(id)
	found, ok := o.lastRun, true
	if want.less(found) {
		ok = false
		o.byNotification.Descend(want, func(n uuidRun) bool {
			found, ok = n, true
			return false
		})
	}
	offset := want.low - found.low
	if !ok || found.high != want.high || offset >= uint64(found.length) {
		return 0, 0, false
	}
	return found.identifier, found.sequence + int64(offset), true
}
