package incident

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A cursor is opaque and bound to its organization and filter. It is the place
// where a page ended, with a sum over the place, the format's version and the
// request that it belongs to. The sum finds what was damaged or belongs to
// another request; it needs no secret, because a place alone reveals and permits
// nothing: organization and filter come from the call.

const (
	cursorSumSize = 16

	// maxCursorSize is far above what a cursor can have, to refuse a huge one
	// before decoding it.
	maxCursorSize = 256
)

// cursorScope is the request that a cursor belongs to, as a list of its parts.
type cursorScope struct{ parts []byte }

func newCursorScope(kind string, org OrganizationID) *cursorScope {
	s := &cursorScope{parts: []byte("1")}
	s.add(kind)
	s.add(string(org))
	return s
}

func (s *cursorScope) add(part string) { s.parts = appendKeyPart(s.parts, part) }

func (s *cursorScope) addNumber(n int64) {
	s.parts = binary.BigEndian.AppendUint64(s.parts, uint64(n))
}

// addTime tells no time from any time.
func (s *cursorScope) addTime(t time.Time) {
	if t.IsZero() {
		s.add("")
		return
	}
	s.add(t.Format(time.RFC3339Nano))
}

func addAll[T ~string](s *cursorScope, ids []T) {
	s.addNumber(int64(len(ids)))
	for _, id := range ids {
		s.add(string(id))
	}
}

func (s *cursorScope) sum(place []byte) []byte {
	h := sha256.New()
	h.Write(s.parts)
	h.Write(place)
	return h.Sum(nil)[:cursorSumSize]
}

func (s *cursorScope) encode(place []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(s.sum(place), place...))
}

// decode returns the place, which has size bytes.
func (s *cursorScope) decode(cursor string, size int) ([]byte, error) {
	errCursor := invalid("cursor", "is damaged, or belongs to another list; start again without one")
	if len(cursor) > maxCursorSize {
		return nil, errCursor
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != cursorSumSize+size {
		return nil, errCursor
	}
	// Comparing the texts also refuses line breaks, which the decoder skips.
	place := raw[cursorSumSize:]
	if s.encode(place) != cursor {
		return nil, errCursor
	}
	return place, nil
}
