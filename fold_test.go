package incident

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestFoldTitle_findsEquivalentTitles(t *testing.T) {
	for _, c := range []struct {
		title, search string
		found         bool
	}{
		{"Checkout FAILS", "checkout fails", true},
		{"Checkout fails", "OUT F", true},
		{"Checkout fails", "checkout  fails", false},
		{"Straße gesperrt", "STRASSE", true},
		{"STRASSE GESPERRT", "straße", true},
		{"GROẞ", "groß", true},
		{"ΟΔΟΣ", "οδος", true},
		{"οδος", "ΟΔΟΣ", true},
		{"Cafe\u0301 down", "CAFÉ", true},
		{"CAFÉ down", "cafe\u0301", true},
		{"Ångström", "A\u030angstro\u0308m", true},
		{"\u212bngström", "ångström", true}, // the sign of the unit
		{"Café", "cafe", false},
		{"ﬁle server", "FILE", true},
		{"\u1fb3", "\u0391\u0345", true},       // alpha with a subscript iota
		{"\u03b1\u0345\u0301", "\u1fb4", true}, // whose marks are in another order
		{"Ж", "ж", true},
		{"İstanbul", "i\u0307stanbul", true},
		{"Istanbul", "istanbul", true},
		{"ꭰ", "Ꭰ", true}, // Cherokee folds to upper case
		{"한국", "\u1112\u1161\u11ab국", true},
	} {
		if got := strings.Contains(FoldTitle(c.title), FoldTitle(c.search)); got != c.found {
			t.Errorf("%q in %q: %t, want %t (%+q in %+q)", c.search, c.title, got, c.found, FoldTitle(c.search), FoldTitle(c.title))
		}
	}
}

// Folding is idempotent, and does not depend on normalization, for each character alone and before
// marks that combine in special ways. A title without special characters has the same form.
func TestFoldTitle_ofEachCharacter(t *testing.T) {
	check := func(s string) {
		folded := FoldTitle(s)
		for _, same := range []string{folded, norm.NFC.String(s), norm.NFD.String(s)} {
			if same != s && FoldTitle(same) != folded {
				t.Fatalf("%+q folds to %+q, but %+q to %+q", s, folded, same, FoldTitle(same))
			}
		}
		if want := foldUnicode(s); folded != want {
			t.Fatalf("%+q folds to %+q, but Unicode has %+q", s, folded, want)
		}
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		switch {
		case r == 0xd800:
			r = 0xe000
		case r >= 0x3400 && r < 0xa000, r >= 0xac00 && r < 0xfb00, r >= 0x1_7000 && r < 0x1_d000, r >= 0x1_f000:
			r += 96 // letters without cases, without decompositions, or with those of a rule
		}
		check("x" + string(r))
		if r < 0x2200 {
			check(string(r) + "\u0345")
			check(string(r) + "\u0301")
		}
	}
}

func BenchmarkFoldTitle(b *testing.B) {
	for _, bm := range []struct{ name, title string }{
		{"lower", "checkout error rate above 5% in eu-west-1"},
		{"ASCII", "Checkout error rate above 5% in eu-west-1"},
		{"Greek", "Ποσοστό σφαλμάτων πληρωμής πάνω από 5%"},
		{"German", "Fehlerrate im Bezahlvorgang über 5% für Köln"},
		{"Russian", "Частота ошибок при оплате выше 5%"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				FoldTitle(bm.title)
			}
		})
		b.Run(bm.name+"/ToLower", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = strings.ToLower(bm.title)
			}
		})
	}
}
