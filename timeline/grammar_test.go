package timeline

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// structures are the lines of a document, with C for the content of a code span and T for a text.
var structures = func() *regexp.Regexp {
	const (
		date   = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`
		status = `(Open|Resolved|Warning|Critical)`
	)
	return regexp.MustCompile(`^(` + strings.Join([]string{
		"",
		"# `C`( T)?",
		`## (Triggers|History)`,
		`- Status: ` + status,
		`- (Started|Detected): ` + date,
		`- Ended: ` + date + `, after [0-9hms]+`,
		"- Projects: `C`(, `C`)*",
		"- (Alert rule|Query|Assignee|Duplicate of): `C`",
		"- Acknowledged: " + date + "( by `C`)?(, until " + date + ")?",
		"- Label `C`: `C`",
		"- Annotation `C`:",
		"- `C`: (Active|Resolved), severity " + status + ", first fired " + date + ", last changed " + date,
		"- " + date + ": (The |A program |`C` )([a-zA-Z0-9 ]|`C`|" + date + `|, edited |, deleted |, which was |\(200\))+`,
		`  >( T\\?)?`,
	}, "|") + `)$`)
}()

// known are skeletons that matched structures before: the same lines occur in each document.
var known sync.Map

func isStructure(skeleton string) bool {
	if _, ok := known.Load(skeleton); ok {
		return true
	}
	if !structures.MatchString(skeleton) {
		return false
	}
	known.Store(skeleton, true)
	return true
}

// skeleton returns a line of a document with C and T, or an error if the line has other Markdown.
func skeleton(l string) (string, error) {
	if !utf8.ValidString(l) || strings.ContainsFunc(l, func(r rune) bool { return unicode.IsControl(r) || isLineBreak(r) }) {
		return "", fmt.Errorf("has a character that is no text")
	}
	if strings.Count(l, "\u2068") != strings.Count(l, "\u2069") || strings.ContainsAny(l, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067") {
		return "", fmt.Errorf("has an open directional control")
	}
	prefix := ""
	for _, p := range []string{"  > ", "  >"} {
		if rest, ok := strings.CutPrefix(l, p); ok && prefix == "" {
			prefix, l = p, rest
		}
	}
	if prefix != "" {
		text, broken := l, ""
		if n := len(l) - len(strings.TrimRight(l, `\`)); n%2 == 1 {
			text, broken = l[:len(l)-1], `\`
		}
		if text == "" {
			return prefix + broken, nil
		}
		if text[0] == ' ' || text[len(text)-1] == ' ' {
			return "", fmt.Errorf("begins or ends with a space")
		}
		return prefix + "T" + broken, isText(text)
	}
	marked, title, err := cutSpans(l)
	if err != nil || !strings.HasPrefix(l, "# ") {
		return marked, err
	}
	return strings.TrimSpace("# `C` T"), isText(title)
}

// cutSpans replaces the content of code spans by C, and returns what follows the first span.
func cutSpans(l string) (marked, rest string, err error) {
	var b strings.Builder
	for first := true; ; first = false {
		i := strings.IndexByte(l, '`')
		if i < 0 {
			b.WriteString(l)
			return b.String(), rest, nil
		}
		b.WriteString(l[:i])
		end, ok := spanEnd(l[i:])
		if !ok {
			return "", "", fmt.Errorf("has an open code span")
		}
		b.WriteString("`C`")
		if l = l[i+end:]; first {
			if rest = strings.TrimPrefix(l, " "); strings.HasPrefix(b.String(), "# ") {
				return b.String(), rest, nil
			}
		}
	}
}

// spanEnd returns the index after the code span that s begins with: as CommonMark has it, a run of
// backticks closes the span if it has the length of the first run.
func spanEnd(s string) (int, bool) {
	fence := len(s) - len(strings.TrimLeft(s, "`"))
	for i := fence; i < len(s); {
		n := len(s[i:]) - len(strings.TrimLeft(s[i:], "`"))
		if n == fence {
			return i + n, true
		}
		i += max(n, 1)
	}
	return 0, false
}

// isText returns an error if a text has punctuation that is neither escaped nor in a code span, or
// a code span other than of '@'.
func isText(s string) error {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] < utf8.RuneSelf && unicode.In(rune(s[i+1]), unicode.P, unicode.S):
			i++
		case c == '`':
			n, ok := spanEnd(s[i:])
			if !ok || n < 3 || strings.Trim(s[i+1:i+n-1], "@") != "" {
				return fmt.Errorf("has a code span in the text %q", s)
			}
			i += n - 1
		case c < utf8.RuneSelf && unicode.In(rune(c), unicode.P, unicode.S) && !strings.ContainsRune(`"%',/;?`, rune(c)):
			return fmt.Errorf("has a bare %q in the text %q", c, s)
		}
	}
	return nil
}

// plain returns the text that a reader sees of an escaped text.
func plain(s string) string {
	s = strings.NewReplacer("\u2068", "", "\u2069", "", "\u00a0", " ").Replace(s)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '`' {
			continue
		}
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
