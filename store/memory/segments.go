package memory

import "math/bits"

// segments is a list whose elements never move. Its segments double in size from 8 to
// 1,024 elements. So a small list stays small, and a large list needs no index of a
// million pointers.
type segments[T any] struct {
	segments [][]T
	length   int
}

const (
	firstSegment = 3                                    // log2 of the first segment's size
	lastDoubled  = 10                                   // log2 of the largest segment's size
	doubled      = 1<<(lastDoubled+1) - 1<<firstSegment // elements in the segments up to the first of the largest size
)

// locate returns the segment of element i, and the offset in the segment.
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

// push appends a zero element.
func (s *segments[T]) push() *T {
	segment, _ := locate(s.length)
	if segment == len(s.segments) {
		s.segments = append(s.segments, make([]T, 1<<min(firstSegment+segment, lastDoubled)))
	}
	s.length++
	return s.at(s.length - 1)
}

// pop removes the last element.
func (s *segments[T]) pop() {
	s.length--
	var none T
	*s.at(s.length) = none
}
