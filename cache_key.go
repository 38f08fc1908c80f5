package incident

import "strconv"

// A cache key begins with the organization. Each identifier follows its length, so that
// different identifiers never make the same key.

func (k Key) appendCacheKey(b []byte) []byte {
	b = appendKeyPart(b, string(k.OrganizationID))
	b = append(b, 'i')
	return strconv.AppendInt(b, k.Identifier, 10)
}

func (k Key) cacheKey() string {
	var buf [keyBuffer]byte
	return string(k.appendCacheKey(buf[:0]))
}

func (s Slot) appendCacheKey(b []byte) []byte {
	b = appendKeyPart(b, string(s.OrganizationID))
	b = append(b, 's')
	b = appendKeyPart(b, string(s.AlertRuleID))
	b = appendKeyPart(b, string(s.ProjectID))
	return appendKeyPart(b, string(s.QueryID))
}

func (s Slot) cacheKey() string {
	var buf [keyBuffer]byte
	return string(s.appendCacheKey(buf[:0]))
}

// keyBuffer has room for most keys.
const keyBuffer = 160

func appendKeyPart(b []byte, part string) []byte {
	b = strconv.AppendInt(b, int64(len(part)), 10)
	b = append(b, ':')
	return append(b, part...)
}
