package memory

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// run is where the activities of one change are, as far as their UUIDs follow each
// other, which those that the package makes do. It holds no pointers, so that a
// large tree costs the garbage collector nothing.
type run struct {
	high, low  uint64 // the first UUID
	length     int64
	identifier int64
	sequence   int64 // of the first activity
}

func runOf(id uuid.UUID) run {
	return run{high: binary.BigEndian.Uint64(id[:8]), low: binary.BigEndian.Uint64(id[8:]), length: 1}
}

func (n run) less(other run) bool {
	if n.high != other.high {
		return n.high < other.high
	}
	return n.low < other.low
}

// precedes reports whether the run of one UUID goes on where n ends.
func (n run) precedes(next run) bool {
	return n.high == next.high && n.low+uint64(n.length) == next.low && next.low > n.low
}

// runs calls fn with each run of the record's activities from a sequence on.
func (r *record) runs(from int64, fn func(run)) {
	var current run
	for i := range r.activities[from-1:] {
		sequence := from + int64(i)
		next := runOf(r.activities[sequence-1].notification)
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

// remember makes the record's activities from a sequence on known by their UUIDs.
func (o *organization) remember(r *record, from int64) {
	r.runs(from, func(n run) {
		o.byNotification.Load(n) // is fast at the end, and elsewhere as Set
		if o.lastRun.less(n) {
			o.lastRun = n
		}
	})
}

// forget undoes remember.
func (o *organization) forget(r *record, from int64) {
	r.runs(from, func(n run) { o.byNotification.Delete(n) })
	o.lastRun, _ = o.byNotification.Max()
}

// notified returns the identifier of the incident and the sequence of the activity
// of a NotificationUUID.
func (o *organization) notified(id uuid.UUID) (identifier, sequence int64, known bool) {
	want := runOf(id)
	found, ok := o.lastRun, true
	if want.less(found) {
		ok = false
		o.byNotification.Descend(want, func(n run) bool {
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
