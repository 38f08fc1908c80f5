package incident

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The kept part of an error is valid text, wherever it is cut. A store may refuse a whole list of
// settlements for a single invalid text.
func TestErrorText_isValid(t *testing.T) {
	for _, char := range []string{"x", "é", "€", "😀", "\xff", "\x00", "\r"} {
		for before := range 4 {
			text := errorText(strings.Repeat("x", before) + strings.Repeat(char, MaxParkedError))
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r") || len(text) > MaxParkedError || len(text) < MaxParkedError-3 {
				t.Errorf("of %d times x and then many %q are kept %d bytes, which end with %q", before, char, len(text), text[len(text)-4:])
			}
		}
	}
}

// The part of an identifier that a cut would leave is not kept: EraseUser could not find it.
func TestErrorText_endsWithAWord(t *testing.T) {
	user := strings.Repeat("ada", MaxIDSize/3)
	for before := MaxParkedError - MaxIDSize - 5; before <= MaxParkedError+5; before++ {
		for _, blank := range []string{" ", "\n", "\t"} {
			head := strings.Repeat("x ", before/2) + strings.Repeat("y", before%2)
			text := errorText(head + blank + user + " is away")
			rest, isCut := strings.CutPrefix(text, head+blank)
			if len(text) > MaxParkedError || isCut && rest != "" && !strings.HasPrefix(rest, user) {
				t.Fatalf("of a user after %d bytes %q is kept", before, rest)
			}
		}
	}
}
