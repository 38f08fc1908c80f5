// Package cursor encodes and decodes the opaque cursors of paged lists.
//
// A cursor contains a payload, the key of the last item of a page. A caller could hand in a
// cursor of another list or of another filter, where the payload would silently skip items.
// A signature would prevent that, but all processes of a host would have to share a secret.
//
// A checksum is enough. It covers the format's version, the request and the payload, so
// that damage and a cursor of another request are noticed. A forged cursor gains nothing: the
// payload only says where a page begins, and organization and filter come from the call.
package cursor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"
)

const (
	// version is the format of all cursors. Changing it invalidates them.
	version = "1"

	sumSize = 16

	// maxSize is far above the size of any cursor. Anything longer is refused before it is
	// decoded.
	maxSize = 512
)

// Scope is the request that a cursor belongs to, as a list of its parts.
type Scope struct{ parts []byte }

// NewScope returns the scope of a kind of list in an organization.
func NewScope(kind, organization string) *Scope {
	s := &Scope{parts: []byte(version)}
	s.Add(kind)
	s.Add(organization)
	return s
}

// Add adds a text. Its length is part of the scope: two lists of texts are never the same.
func (s *Scope) Add(part string) {
	s.parts = strconv.AppendInt(s.parts, int64(len(part)), 10)
	s.parts = append(s.parts, ':')
	s.parts = append(s.parts, part...)
}

// AddNumber adds a number.
func (s *Scope) AddNumber(n int64) {
	s.parts = binary.BigEndian.AppendUint64(s.parts, uint64(n))
}

// AddTime adds a time. The zero time differs from every other.
func (s *Scope) AddTime(t time.Time) {
	if t.IsZero() {
		s.Add("")
		return
	}
	s.Add(t.Format(time.RFC3339Nano))
}

// AddAll adds a list of texts and its length.
func AddAll[T ~string](s *Scope, parts []T) {
	s.AddNumber(int64(len(parts)))
	for _, part := range parts {
		s.Add(string(part))
	}
}

func (s *Scope) sum(payload []byte) []byte {
	h := sha256.New()
	h.Write(s.parts)
	h.Write(payload)
	return h.Sum(nil)[:sumSize]
}

// Encode returns the cursor of a payload.
func (s *Scope) Encode(payload []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(s.sum(payload), payload...))
}

// Decode returns the payload of a cursor. It returns false if the cursor is damaged, if it
// belongs to another scope, or if its payload does not have least to most bytes.
func (s *Scope) Decode(cursor string, least, most int) (payload []byte, ok bool) {
	if len(cursor) > maxSize {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < sumSize+least || len(raw) > sumSize+most {
		return nil, false
	}
	payload = raw[sumSize:]
	// Comparing the texts also refuses line breaks, which the decoder skips.
	if s.Encode(payload) != cursor {
		return nil, false
	}
	return payload, true
}
