package memory

import "math/bits"

// records are the incidents of an organization, by position. They lie in
// segments, which never move: the first has 8 records, and each one twice as many
// as the one before, up to 1,024. A small organization stays small, and a lookup
// in a large one touches no list of a million pointers.
type records struct {
	segments [][]record
	length   int
}

const (
	firstSegment = 3                                    // of 2^3 records
	lastDoubled  = 10                                   // of 2^10 records, as are all after it
	doubled      = 1<<(lastDoubled+1) - 1<<firstSegment // records in the segments up to that one
)

// locate returns the segment of a position, and the place in it.
func locate(i int) (segment, offset int) {
	if i >= doubled {
		i -= doubled
		return lastDoubled - firstSegment + 1 + i>>lastDoubled, i & (1<<lastDoubled - 1)
	}
	i += 1 << firstSegment
	size := bits.Len(uint(i)) - 1
	return size - firstSegment, i - 1<<size
}

func (r *records) at(i int) *record {
	segment, offset := locate(i)
	return &r.segments[segment][offset]
}

// push adds an empty record.
func (r *records) push() *record {
	segment, _ := locate(r.length)
	if segment == len(r.segments) {
		r.segments = append(r.segments, make([]record, 1<<min(firstSegment+segment, lastDoubled)))
	}
	r.length++
	return r.at(r.length - 1)
}

// pop takes the last record away.
func (r *records) pop() {
	r.length--
	*r.at(r.length) = record{}
}
