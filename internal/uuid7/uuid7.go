// Package uuid7 generates UUIDs of version 7, in series that stay the same when an operation
// is repeated.
//
// A call that is decided again, because a store refused its first attempt, must name its rows
// as before, so that the store recognizes a row that it already has. A random UUID for each row
// would differ in each attempt. A [Series] therefore draws a single UUID when it is first
// asked, and derives the others from it by addition. They are adjacent, so that an index on
// them grows at its end.
package uuid7

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/uuid"
)

// supplySize is how many bytes of randomness are read from the system at a time.
const supplySize = 1024

// Source generates UUIDs. It reads a supply of the system's randomness at a time, because
// each read is a system call. The zero value is ready to use. It is safe for use by many
// goroutines.
type Source struct {
	mu     sync.Mutex // guards the fields below
	last   int64      // the time of the latest UUID
	left   int        // bytes at the end of supply that were not used
	supply [supplySize]byte
}

// New returns a UUID of version 7 that is greater than all before it.
func (s *Source) New() (id uuid.UUID) {
	now := timeOf(time.Now())
	s.mu.Lock()
	if now <= s.last {
		now = s.last + 1
	}
	s.last = now
	s.random(id[8:])
	s.mu.Unlock()
	binary.BigEndian.PutUint64(id[:8], uint64(now>>12)<<16|0x7<<12|uint64(now&0xfff))
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// timeOf returns milliseconds, followed by 12 bits of the fraction in units of 256 nanoseconds.
func timeOf(t time.Time) int64 {
	nano := t.UnixNano()
	return nano/1e6<<12 | nano%1e6>>8
}

// random fills b from the supply.
func (s *Source) random(b []byte) {
	if s.left < len(b) {
		rand.Read(s.supply[:]) // ends the process rather than fail
		s.left = supplySize
	}
	copy(b, s.supply[supplySize-s.left:])
	s.left -= len(b)
}

// Series returns a series that begins with a new UUID of the source.
func (s *Source) Series() Series { return Series{source: s} }

// Series is the UUIDs of a call. It is for one goroutine.
type Series struct {
	source *Source
	first  uuid.UUID // nil until it is needed
}

// At returns the UUID of index i. Each call returns the same.
func (s *Series) At(i int) uuid.UUID {
	if s.first == uuid.Nil {
		s.first = s.source.New()
	}
	id := s.first
	tail := id[8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)+uint64(i))
	return id
}
