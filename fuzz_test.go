package incident

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A cursor is refused unless the list has returned exactly this cursor.
func FuzzCursor(f *testing.F) {
	q := IncidentQuery{OrganizationID: "acme", Projects: []ProjectID{"checkout"}, Title: "down"}
	inc := Incident{OrganizationID: "acme", Identifier: 7, DateStarted: ruleEpoch}
	valid := listCursor(q.scope(), inc, true)
	for _, seed := range []string{"", "\x00", "A", valid, valid[1:], valid + "\n", strings.Repeat("A", 300), strings.ToLower(valid)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		got := q
		err := got.resume(q.scope(), cursor)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("resume(%q) = %v", cursor, err)
			}
			return
		}
		back := listCursor(q.scope(), Incident{
			OrganizationID: "acme", Identifier: got.After.Identifier, DateStarted: got.After.DateStarted,
		}, got.Reverse)
		if back != cursor {
			t.Fatalf("%q is accepted, but stands for %q", cursor, back)
		}
		other := q
		other.OrganizationID = "globex"
		if err := other.resume(other.scope(), cursor); err == nil {
			t.Fatalf("%q is accepted for another organization", cursor)
		}
	})
}

// Accepted texts are valid, and are returned unchanged.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "\x00", "a\xff", "\xed\xa0\x80", "é", "e\u0301", "😀", " \t", "\u202e", "a\r\n", "\u0085", strings.Repeat("x", 1001), "\ufffd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, err := range map[string]error{
			"title":   checkTitle(text),
			"comment": checkComment(text, true),
			"id":      checkID("id", text, false),
			"filter":  checkTitleFilter(text),
		} {
			var field *FieldError
			if err != nil && (!errors.As(err, &field) || len(err.Error()) > 300 || !utf8.ValidString(err.Error())) {
				t.Fatalf("%s %q: %v", name, text, err)
			}
			if err != nil {
				continue
			}
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\x1b\x7f") {
				t.Fatalf("%s %q is accepted", name, text)
			}
			if folded := FoldTitle(text); folded != FoldTitle(folded) || !utf8.ValidString(folded) {
				t.Fatalf("%s %q: folding %q again gives %q", name, text, folded, FoldTitle(folded))
			}
		}
	})
}

// A text is refused, or is the text of its key.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", "#", "acme#1", "a#b#2", "acme#01", "acme#-1", "acme#9223372036854775808", "a\xff#1", "#1", "a\n#1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		switch {
		case err != nil && (!errors.Is(err, ErrInvalid) || key != Key{} || len(err.Error()) > 300):
			t.Fatalf("ParseKey(%q) = %v, %v", text, key, err)
		case err == nil && (key.String() != text || checkKey(key) != nil):
			t.Fatalf("ParseKey(%q) = %#v", text, key)
		}
	})
}

// A normalized text is accepted or empty, and normalizing it again changes nothing.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"", " ", "\x00", "a\r\nb", "a\xff", "e\u0301", "👩\u200d👧", "🇩🇪", "\u0301", "\u200b"} {
		for _, n := range []uint16{1, MaxTitleLength - 1, MaxTitleLength} {
			f.Add(seed, "x", n)
			f.Add("x", seed, n)
		}
	}
	f.Fuzz(func(t *testing.T, text, more string, n uint16) {
		text += strings.Repeat(more, min(int(n), 4*MaxCommentSize/(len(more)+1)))
		for name, c := range map[string]struct {
			normalize func(string) string
			check     func(string) error
		}{
			"title":   {NormalizeTitle, checkTitle},
			"comment": {NormalizeComment, func(s string) error { return checkComment(s, true) }},
		} {
			got := c.normalize(text)
			switch {
			case got == "" && !isBlank(text):
				t.Fatalf("the %s %.200q is lost", name, text)
			case got != "" && isBlank(text):
				t.Fatalf("the blank %s %.200q becomes %.200q", name, text, got)
			case got != "" && c.check(got) != nil:
				t.Fatalf("the %s %.200q becomes %.200q: %v", name, text, got, c.check(got))
			case c.check(text) == nil && got != text:
				t.Fatalf("the accepted %s %.200q becomes %.200q", name, text, got)
			case c.normalize(got) != got:
				t.Fatalf("the %s %.200q becomes %.200q, then %.200q", name, text, got, c.normalize(got))
			}
		}
	})
}

// Accepted dates become canonical, are in range, and lose less than a microsecond.
func FuzzDate(f *testing.F) {
	for _, seed := range []int64{0, 1, -1, 1 << 62, -1 << 62, 253402300799, 253402300800, 1773455460} {
		f.Add(seed, int64(999), 3600)
	}
	f.Fuzz(func(t *testing.T, seconds, nanos int64, offset int) {
		given := time.Unix(seconds, nanos).In(time.FixedZone("x", offset%86400))
		got, err := checkDate("date", given, ruleEpoch, ruleEpoch)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v: %v", given, err)
			}
			return
		}
		if given.IsZero() {
			if got != ruleEpoch {
				t.Fatalf("no date gives %v", got)
			}
			return
		}
		if got != canonical(got) || got.Location() != time.UTC || got.Nanosecond()%1000 != 0 {
			t.Fatalf("%v gives %#v", given, got)
		}
		if lost := given.Sub(got); lost < 0 || lost >= time.Microsecond {
			t.Fatalf("%v gives %v", given, got)
		}
		if got.Year() < 1970 || got.After(ruleEpoch.Add(MaxClockLead)) {
			t.Fatalf("%v is accepted", given)
		}
	})
}

// A binary form is refused, or decodes to an entry whose own binary form is stable.
func FuzzCacheEntry(f *testing.F) {
	for _, e := range []CacheEntry{
		{Version: 3},
		{Version: 1, value: &slotHolder{Identifier: 7}},
		{Version: 2, value: &State{Incident: Incident{OrganizationID: "acme", Identifier: 1, Status: StatusClosed, DateClosed: &ruleEpoch}}},
	} {
		data, err := e.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"state":{},"slot":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e CacheEntry
		if e.UnmarshalBinary(data) != nil {
			return
		}
		again, err := e.MarshalBinary()
		if err != nil {
			return // a time that JSON cannot write, such as one of the year 10000
		}
		var back CacheEntry
		if err := back.UnmarshalBinary(again); err != nil {
			t.Fatalf("%s comes back as %s: %v", data, again, err)
		}
		if third, _ := back.MarshalBinary(); string(third) != string(again) {
			t.Fatalf("%s comes back as %s, then as %s", data, again, third)
		}
	})
}
