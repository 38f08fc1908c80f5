package incident

import "strconv"

// Cache keys put each identifier behind its length, so that no two lists of
// identifiers make the same key, with the organization first.

func (k Key) cacheKey() string {
	var buf [64]byte
	b := appendKeyPart(buf[:0], string(k.OrganizationID))
	b = append(b, 'i')
	return string(strconv.AppendInt(b, k.Identifier, 10))
}

func (s Slot) cacheKey() string {
	var buf [160]byte
	b := appendKeyPart(buf[:0], string(s.OrganizationID))
	b = append(b, 's')
	b = appendKeyPart(b, string(s.AlertRuleID))
	b = appendKeyPart(b, string(s.ProjectID))
	return string(appendKeyPart(b, string(s.QueryID)))
}

func appendKeyPart(b []byte, part string) []byte {
	b = strconv.AppendInt(b, int64(len(part)), 10)
	b = append(b, ':')
	return append(b, part...)
}
