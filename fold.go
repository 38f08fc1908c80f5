package incident

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldTitle returns the form of a title in which a store searches for [IncidentFilter.Title]: with
// Unicode's full case folding, in canonical composition (NFC). So "STRASSE" finds "Straße", and an
// accent is found whether it is a character of its own or part of its letter. All stores use
// FoldTitle, so that they find the same incidents. Folding a folded title changes nothing.
//
// Earlier versions searched in lower case. The forms differ only in titles with a special folding,
// such as "ß" and the final sigma, and in titles with marks that are not composed. In a store that
// keeps the forms, such a title keeps its old form until the incident changes, and a process of an
// earlier version misses the new form. No search tries both: "STRASSE" would still miss an old
// "straße".
func FoldTitle(title string) string {
	for i := range len(title) {
		switch c := title[i]; {
		case c >= utf8.RuneSelf:
			return foldOther(title)
		case 'A' <= c && c <= 'Z':
			return foldFrom(title, i)
		}
	}
	return title
}

// foldFrom folds a title whose first n bytes are folded.
func foldFrom(title string, n int) string {
	var folded strings.Builder
	folded.Grow(len(title))
	folded.WriteString(title[:n])
	for i := n; i < len(title); i++ {
		c := title[i]
		switch {
		case c >= utf8.RuneSelf:
			return foldOther(title)
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		folded.WriteByte(c)
	}
	return folded.String()
}

// foldOther folds a title that is not ASCII.
func foldOther(title string) string {
	if strings.ContainsFunc(title, foldsSpecially) {
		return foldUnicode(title)
	}
	return strings.ToLower(title)
}

// foldsSpecially reports whether a title with r may have a folded form other than its lower case,
// because r folds in a special way, is a combining mark, or is not composed. False is certain.
func foldsSpecially(r rune) bool {
	switch {
	case r < '\u0300': // Latin
		return r == 'µ' || r == 'ß' || r == 'İ' || r == 'ŉ' || r == 'ſ' || r == 'ǰ'
	case r >= '\u0400' && r <= '\u0481', // Cyrillic
		r >= '\u2010' && r <= '\u205e', // punctuation
		r >= '\u3041' && r <= '\u3096', // kana
		r >= '\u30a1' && r <= '\u30fa',
		r >= '\u4e00' && r <= '\u9fff', // Chinese characters
		r >= '\uac00' && r <= '\ud7a3': // Hangul
		return false
	}
	return true
}

// foldUnicode folds any title. It decomposes the title first, because folding changes a combining
// mark that is a part of some letters. Both cases of Cherokee fold to capitals; cases.Fold swaps
// them instead.
func foldUnicode(title string) string {
	folded := norm.NFC.String(cases.Fold().String(norm.NFD.String(title)))
	if !strings.ContainsFunc(folded, isSmallCherokee) {
		return folded
	}
	return strings.Map(func(r rune) rune {
		if isSmallCherokee(r) {
			return unicode.ToUpper(r)
		}
		return r
	}, folded)
}

func isSmallCherokee(r rune) bool {
	return r >= '\uab70' && r <= '\uabbf' || r >= '\u13f8' && r <= '\u13fd'
}
