package timeline

import (
	"strings"
	"unicode"
)

// Texts of users must not look like Markdown. There are two forms:
//
//   - quoted: in a code span, where Markdown has no meaning. For names and values in a sentence,
//     so that a reader sees where the text begins and ends.
//   - escaped: with a backslash before all punctuation that has a meaning in any common dialect.
//     For titles, at the end of a line, and for comments, in a block quote.
//
// Both replace characters that a reader could mistake for the end of the text: line breaks,
// control characters, and directional controls. A text with letters from right to left is
// isolated, so that it does not reorder the text beside it.

// special is the ASCII punctuation with a meaning in CommonMark, in GitHub's dialect, or in common
// extensions such as footnotes, mathematics and tables. escaped treats '@' itself.
const special = "\\`*_{}[]()#+-.!<>|~&:=$^"

// quoted returns a text as a code span. Empty texts are not quoted.
func quoted(text string) string {
	text = isolated(line(text))
	if text == "" {
		return "(empty)"
	}
	fence := fenceOf(text)
	// Markdown removes a space at both ends, unless either is missing.
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") || strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") {
		text = " " + text + " "
	}
	return fence + text + fence
}

// fenceOf returns the delimiter of a code span with the text: the shortest run of backticks that the
// text does not have.
func fenceOf(text string) string {
	runs := map[int]bool{}
	for length, i := 0, 0; i <= len(text); i++ {
		if i < len(text) && text[i] == '`' {
			length++
			continue
		}
		runs[length] = true
		length = 0
	}
	n := 1
	for runs[n] {
		n++
	}
	return strings.Repeat("`", n)
}

// escaped returns a single line as text without a meaning in Markdown. Spaces at its end are
// removed. Spaces at its beginning become no-break spaces, since Markdown makes code of an indented
// line.
func escaped(text string) string {
	text = strings.TrimRight(line(text), " ")
	rest := strings.TrimLeft(text, " ")
	indent := len(text) - len(rest)
	rest = isolated(rest)
	var b strings.Builder
	b.WriteString(strings.Repeat("\u00a0", indent))
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '@':
			// GitHub makes links of mail addresses and mentions even if they are escaped.
			at := rest[i : len(rest)-len(strings.TrimLeft(rest[i:], "@"))]
			b.WriteString("`" + at + "`")
			i += len(at) - 1
		case strings.IndexByte(special, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// lines returns the escaped lines of a text.
func lines(text string) []string {
	text = strings.Map(func(r rune) rune {
		if isLineBreak(r) {
			return '\n'
		}
		return r
	}, strings.ReplaceAll(text, "\r\n", "\n"))
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = escaped(all[i])
	}
	return all
}

// line returns a valid text without line breaks, tabs and control characters.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case isLineBreak(r), r == '\t':
			return ' '
		case unicode.IsControl(r), isDirectional(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

func isLineBreak(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

// isDirectional reports whether r begins or ends an embedding, an override or an isolate.
func isDirectional(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// isolated encloses a text that has letters from right to left in an isolate.
func isolated(text string) string {
	if !strings.ContainsFunc(text, fromRightToLeft) {
		return text
	}
	return "\u2068" + text + "\u2069"
}

// fromRightToLeft reports whether r may be a letter or mark of a script from right to left. It
// covers the blocks that Unicode reserves for such scripts.
func fromRightToLeft(r rune) bool {
	return r >= '\u0590' && r <= '\u08ff' || r == '\u200f' ||
		r >= '\ufb1d' && r <= '\ufdff' || r >= '\ufe70' && r <= '\ufeff' ||
		r >= '\U00010800' && r <= '\U00010fff' || r >= '\U0001e800' && r <= '\U0001efff'
}
