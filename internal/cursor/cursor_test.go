package cursor

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestScope_decodesItsOwnCursorsOnly(t *testing.T) {
	scope := func(kind, org string, parts ...string) *Scope {
		s := NewScope(kind, org)
		AddAll(s, parts)
		return s
	}
	own, payload := scope("list", "acme", "a", "b"), []byte("12345678")
	token := own.Encode(payload)
	if got, ok := own.Decode(token, len(payload), len(payload)); !ok || !bytes.Equal(got, payload) {
		t.Fatalf("Decode(%q) = %q, %t", token, got, ok)
	}
	for name, other := range map[string]*Scope{
		"another kind":         scope("log", "acme", "a", "b"),
		"another organization": scope("list", "acme2", "a", "b"),
		"parts joined":         scope("list", "acme", "ab"),
		"parts in two lists":   func() *Scope { s := scope("list", "acme", "a"); AddAll(s, []string{"b"}); return s }(),
		"one more time":        func() *Scope { s := scope("list", "acme", "a", "b"); s.AddTime(time.Time{}); return s }(),
	} {
		if _, ok := other.Decode(token, len(payload), len(payload)); ok {
			t.Errorf("a scope of %s accepts the cursor", name)
		}
	}
	for name, damaged := range map[string]string{
		"empty":           "",
		"cut":             token[:len(token)-1],
		"changed":         "A" + token[1:],
		"with line break": token[:4] + "\n" + token[4:],
		"huge":            strings.Repeat("A", maxSize+1),
	} {
		if _, ok := own.Decode(damaged, len(payload), len(payload)); ok && damaged != token {
			t.Errorf("a cursor that is %s is accepted", name)
		}
	}
	if _, ok := own.Decode(token, len(payload)+1, len(payload)+1); ok {
		t.Error("a payload of another size is accepted")
	}
}
