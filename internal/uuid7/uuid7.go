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
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/google/uuid"
)

// supplySize is how many bytes of randomness are read from the system at a time.
const supplySize = 1024

// Source generates UUIDs. It reads a supply of the system's randomness at a time, because
// each read is a system call. The zero value is ready to use. It is safe for use by many
// goroutines.
type Source struct {
	mu     sync.Mutex // guards supply
	supply *bufio.Reader
}

// New returns a UUID of version 7.
func (s *Source) New() uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.supply == nil {
		s.supply = bufio.NewReaderSize(rand.Reader, supplySize)
	}
	return uuid.Must(uuid.NewV7FromReader(s.supply)) // crypto/rand ends the process rather than fail
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
