package memory

import "math/bits"

// segments is a list whose elements never move. Its segments double in size from 8 to
// 1,024 elements. So a small list stays small, and a large list needs no index of a
// million pointers.
//
// Elements can be removed. The other elements keep their indexes, and the memory of a
// segment is released with its last element.
type segments[T any] struct {
	segments [][]T // nil for a released segment
	used     []int // elements of each segment that were not removed
	length   int   // including removed elements
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

// at returns element i. Its segment must not be released.
func (s *segments[T]) at(i int) *T {
	segment, offset := locate(i)
	return &s.segments[segment][offset]
}

// find returns element i, or nil if its segment was released. A removed element of a
// segment that was not released is zero.
func (s *segments[T]) find(i int) *T {
	if i < 0 || i >= s.length {
		return nil
	}
	segment, offset := locate(i)
	if segment >= len(s.segments) || s.segments[segment] == nil {
		return nil
	}
	return &s.segments[segment][offset]
}

// push appends a zero element.
func (s *segments[T]) push() *T {
	segment, _ := locate(s.length)
	for segment >= len(s.segments) {
		s.segments, s.used = append(s.segments, nil), append(s.used, 0)
	}
	if s.segments[segment] == nil {
		s.segments[segment] = make([]T, 1<<min(firstSegment+segment, lastDoubled))
	}
	s.used[segment]++
	s.length++
	return s.at(s.length - 1)
}

// pop undoes push.
func (s *segments[T]) pop() {
	s.length--
	var none T
	*s.at(s.length) = none
	segment, _ := locate(s.length)
	s.used[segment]--
}

// remove removes element i.
func (s *segments[T]) remove(i int) {
	var none T
	*s.at(i) = none
	segment, _ := locate(i)
	if s.used[segment]--; s.used[segment] == 0 {
		s.segments[segment] = nil
	}
}

// next returns the first index from i that is not in a released segment, or the length.
func (s *segments[T]) next(i int) int {
	for i < s.length {
		segment, offset := locate(i)
		if segment < len(s.segments) && s.segments[segment] != nil {
			break
		}
		i += 1<<min(firstSegment+segment, lastDoubled) - offset
	}
	return min(i, s.length)
}
