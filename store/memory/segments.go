package memory

import "math/bits"

// segments is a list whose elements never move. The first segment has 8, and each
// one twice as many as the one before, up to 1,024. A small list stays small, and
// a lookup in a large one touches no index of a million pointers.
type segments[T any] struct {
	segments [][]T
	length   int
}

const (
	firstSegment = 3                                    // of 2^3 elements
	lastDoubled  = 10                                   // of 2^10 elements, as are all after it
	doubled      = 1<<(lastDoubled+1) - 1<<firstSegment // elements up to that segment
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

func (s *segments[T]) at(i int) *T {
	segment, offset := locate(i)
	return &s.segments[segment][offset]
}

// push adds a zero element.
func (s *segments[T]) push() *T {
	segment, _ := locate(s.length)
	if segment == len(s.segments) {
		s.segments = append(s.segments, make([]T, 1<<min(firstSegment+segment, lastDoubled)))
	}
	s.length++
	return s.at(s.length - 1)
}

// pop takes the last element away.
func (s *segments[T]) pop() {
	s.length--
	var none T
	*s.at(s.length) = none
}
