package incident

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// NormalizeTitle returns a title that is accepted, for hosts that would rather change or cut the
// title of a foreign system than refuse it. It changes nothing in a title that is accepted.
// Otherwise:
//
//   - Invalid UTF-8 becomes U+FFFD.
//   - CR LF, CR, and other control characters that end a line become newlines.
//   - Other control characters except tabs are removed.
//   - A title of more than [MaxTitleLength] characters loses leading blanks. If it is still too
//     long, it is cut before a whole character with its combining marks, and ends with "…".
//   - A title without a visible character becomes "", which is not accepted.
func NormalizeTitle(title string) string {
	if checkTitle(title) == nil {
		return title
	}
	return normalized(title, MaxTitleLength, utf8.RuneCountInString, func(rune) int { return 1 })
}

// IsID reports whether a text is accepted as an identifier of the host, or as the name of a label: it
// has 1 to [MaxIDSize] bytes of valid UTF-8 without control characters.
func IsID[ID ~string](id ID) bool { return checkID("", id, false) == nil }

// NormalizeComment returns a comment that is accepted, by the rules of [NormalizeTitle], except
// that the limit is [MaxCommentSize] bytes. It becomes "" without a visible character: a
// [NewComment] is then refused, and the remark of an update is empty.
func NormalizeComment(comment string) string {
	if checkComment(comment, true) == nil {
		return comment
	}
	return normalized(comment, MaxCommentSize, func(s string) int { return len(s) }, utf8.RuneLen)
}

// normalized makes a text valid, and cuts it to a limit. size measures a text, and sizeOf a
// character.
func normalized(text string, limit int, size func(string) int, sizeOf func(rune) int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\r\n", "\n")
	text = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\t':
			return r
		case '\r', '\v', '\f', '\u0085':
			return '\n'
		}
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if isBlank(text) {
		return ""
	}
	if size(text) <= limit {
		return text
	}
	// The first character is then visible, and is never cut off.
	if text = strings.TrimLeftFunc(text, isInvisible); size(text) <= limit {
		return text
	}
	const ellipsis = '…'
	end, left := 0, limit-sizeOf(ellipsis)
	for i, r := range text {
		if left -= sizeOf(r); left < 0 {
			end = i
			break
		}
	}
	return strings.TrimRightFunc(text[:clusterStart(text, end)], unicode.IsSpace) + string(ellipsis)
}

// maxCluster is the most characters that clusterStart keeps together. A longer sequence of marks
// is no text of any language.
const maxCluster = 32

// clusterStart returns the index at or before end at which text can be cut without separating a
// character from its marks: combining marks, joiners and modifiers of an emoji, the second half of
// a flag, and the vowel and final of a Hangul syllable. It returns end if they are more than
// maxCluster, or begin the text.
func clusterStart(text string, end int) int {
	start := end
	for range maxCluster {
		next, _ := utf8.DecodeRuneInString(text[start:])
		before, size := utf8.DecodeLastRuneInString(text[:start])
		switch {
		case start == 0:
			return end
		case isRegional(next) && isRegional(before):
			if regionals(text[:start])%2 == 0 {
				return start
			}
		case !extends(next) && before != zeroWidthJoiner:
			return start
		}
		start -= size
	}
	return end
}

const zeroWidthJoiner = '\u200d'

// extends reports whether r belongs to the character before it.
func extends(r rune) bool {
	return unicode.In(r, unicode.M) || r == zeroWidthJoiner || r == '\u200c' ||
		r >= '\U0001f3fb' && r <= '\U0001f3ff' || // skin tones
		r >= '\U000e0020' && r <= '\U000e007f' || // tags of a flag
		r >= '\u1160' && r <= '\u11ff' // vowels and finals of Hangul
}

// isRegional reports whether r is half of a flag.
func isRegional(r rune) bool { return r >= '\U0001f1e6' && r <= '\U0001f1ff' }

// regionals counts the halves of flags at the end of a text, up to maxCluster.
func regionals(text string) (n int) {
	for n < maxCluster {
		r, size := utf8.DecodeLastRuneInString(text)
		if !isRegional(r) {
			break
		}
		text = text[:len(text)-size]
		n++
	}
	return n
}
