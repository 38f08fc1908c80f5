package incident

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalize_makesTextsAcceptable(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Checkout fails", "Checkout fails"},
		{" two\n\tlines ", " two\n\tlines "},
		{"a\r\nb\rc\n\rd", "a\nb\nc\n\nd"},
		{"a\vb\fc\u0085d\u2028e", "a\nb\nc\nd\u2028e"},
		{"nul\x00 bell\a del\x7f c1\u0090", "nul bell del c1"},
		{"\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"cut \xe2\x82", "cut \ufffd"},
		{"a\xff\xfeb", "a\ufffdb"},
		{"lone \xed\xa0\x80", "lone \ufffd"},
		{"\ufffd", "\ufffd"},
		{"", ""},
		{" \t\r\n", ""},
		{"\x00\x01", ""},
		{"\u200b\u2060\ufeff", ""},
	} {
		if got := NormalizeTitle(c.text); got != c.want {
			t.Errorf("NormalizeTitle(%q) = %q, want %q", c.text, got, c.want)
		}
		if got := NormalizeComment(c.text); got != c.want {
			t.Errorf("NormalizeComment(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestIsID(t *testing.T) {
	for id, want := range map[UserID]bool{
		"a": true, " ": true, "災/%?": true, "#": true, UserID(strings.Repeat("x", MaxIDSize)): true,
		"": false, UserID(strings.Repeat("x", MaxIDSize+1)): false, "a\nb": false, "a\tb": false, "\x00": false, "\u0085": false, "a\xff": false,
	} {
		if got := IsID(id); got != want {
			t.Errorf("IsID(%q) is %t", id, got)
		}
	}
}

func TestNormalizeTitle_cutsBetweenCharacters(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("x", n) }
	most := MaxTitleLength - 1 // beside the ellipsis
	for name, c := range map[string]struct{ text, want string }{
		"as long as permitted":        {fill(MaxTitleLength), fill(MaxTitleLength)},
		"one more":                    {fill(MaxTitleLength + 1), fill(most) + "…"},
		"wide characters":             {strings.Repeat("😀", MaxTitleLength+1), strings.Repeat("😀", most) + "…"},
		"a mark":                      {fill(most-1) + "e\u0301" + fill(9), fill(most-1) + "…"},
		"several marks":               {fill(most-2) + "e\u0301\u0302\u0303" + fill(9), fill(most-2) + "…"},
		"a mark that fits":            {fill(most-2) + "e\u0301" + fill(9), fill(most-2) + "e\u0301…"},
		"a family":                    {fill(most-2) + "👩\u200d👧" + fill(9), fill(most-2) + "…"},
		"a skin tone":                 {fill(most-1) + "👍🏽" + fill(9), fill(most-1) + "…"},
		"a variation":                 {fill(most-1) + "❤\ufe0f" + fill(9), fill(most-1) + "…"},
		"the first half of a flag":    {fill(most-1) + "🇩🇪🇫🇷" + fill(9), fill(most-1) + "…"},
		"the end of a flag":           {fill(most-2) + "🇩🇪🇫🇷" + fill(9), fill(most-2) + "🇩🇪…"},
		"a syllable":                  {fill(most-1) + "\u1112\u1161\u11ab" + fill(9), fill(most-1) + "…"},
		"a space before the cut":      {fill(most-2) + "  " + fill(9), fill(most-2) + "…"},
		"blanks at the beginning":     {strings.Repeat(" ", 3*MaxTitleLength) + "x", "x"},
		"marks without an end":        {"e" + strings.Repeat("\u0301", 3*MaxTitleLength), "e" + strings.Repeat("\u0301", most-1) + "…"},
		"nothing except marks":        {strings.Repeat("\u0301", 3*MaxTitleLength), strings.Repeat("\u0301", most) + "…"},
		"controls beyond the limit":   {fill(MaxTitleLength) + "\x00\x01", fill(MaxTitleLength)},
		"invalid bytes up to a limit": {fill(most) + "\xff\xff\xff", fill(most) + "\ufffd"},
	} {
		if got := NormalizeTitle(c.text); got != c.want {
			t.Errorf("%s: the title has %d characters and ends with %q, want %d and %q", name,
				utf8.RuneCountInString(got), got[max(0, len(got)-20):], utf8.RuneCountInString(c.want), c.want[max(0, len(c.want)-20):])
		}
	}
}

func TestNormalizeComment_cutsBetweenCharacters(t *testing.T) {
	const size = MaxCommentSize
	for _, c := range []struct {
		text string
		want int // bytes
	}{
		{strings.Repeat("x", size), size},
		{strings.Repeat("x", size+1), size},
		{strings.Repeat("€", size), size/3*3 + 0},
		{strings.Repeat("😀", size), size - 1},
		{strings.Repeat("x", size-4) + "e\u0301" + "xxx", size - 1},
	} {
		got := NormalizeComment(c.text)
		if len(got) != c.want || checkComment(got, true) != nil {
			t.Errorf("a comment of %d bytes has %d, want %d: %v", len(c.text), len(got), c.want, checkComment(got, true))
		}
	}
}
