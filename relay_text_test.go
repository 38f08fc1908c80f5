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
