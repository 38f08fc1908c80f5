package statuspage

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// walker reads a JSON text value by value and knows the offset of each, unlike
// [json.Unmarshal]. A null equals an absent field. Fields without a reader are skipped.
type walker struct {
	*source
	base int // offset of the text in the source
	json *json.Decoder
}

// reader reads the value of the named field.
type reader func(name string) error

// newWalker returns an error for invalid JSON, and for text that encoding/json would
// replace by U+FFFD. So reading tokens cannot fail later.
func newWalker(s *source) (*walker, error) {
	var text json.RawMessage
	err := json.Unmarshal(s.data, &text)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, s.errorf(max(int(syntax.Offset)-1, 0), "not valid JSON: %w", err)
	}
	if err != nil {
		return nil, s.errorf(0, "not valid JSON: %w", err)
	}
	if at := invalidUTF8(s.data); at >= 0 {
		return nil, s.errorf(at, "not valid UTF-8")
	}
	if at := loneSurrogate(s.data); at >= 0 {
		return nil, s.errorf(at, `%s is half a surrogate pair`, s.data[at:at+6])
	}
	return s.walk(0, s.data), nil
}

// walk returns a walker of the valid JSON text at the offset.
func (s *source) walk(offset int, text []byte) *walker {
	w := &walker{source: s, base: offset, json: json.NewDecoder(bytes.NewReader(text))}
	w.json.UseNumber() // 1e999 is valid JSON but no float64
	return w
}

// part returns a walker of the next value alone, and skips the value. So a fault in a
// record leaves w at the next record.
func (w *walker) part() (*walker, error) {
	at := w.next()
	var value json.RawMessage
	if err := w.json.Decode(&value); err != nil {
		return nil, w.errorf(at, "%w", err)
	}
	return w.walk(at, value), nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// loneSurrogate returns the offset of an escaped half of a surrogate pair in valid JSON,
// or -1.
func loneSurrogate(data []byte) int {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		r := escaped(data[i:])
		if !utf16.IsSurrogate(r) {
			i++ // the escaped character may be a backslash
			continue
		}
		if utf16.DecodeRune(r, escaped(data[i+6:])) == unicode.ReplacementChar {
			return i
		}
		i += 11
	}
	return -1
}

// escaped returns the code unit of the \u escape at the start of text, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

// next returns the offset of the next value.
func (w *walker) next() int {
	rest := w.data[w.base+int(w.json.InputOffset()):]
	return len(w.data) - len(bytes.TrimLeft(rest, " \t\r\n,:"))
}

// token returns the next token and its offset.
func (w *walker) token() (at int, token json.Token, err error) {
	at = w.next()
	token, err = w.json.Token()
	if err != nil {
		err = w.errorf(at, "%w", err)
	}
	return at, token, err
}

// object reads an object with the readers of its fields.
func (w *walker) object(fields map[string]reader) reader {
	return func(name string) error {
		if open, err := w.open(name, '{', "an object"); err != nil || !open {
			return err
		}
		seen := make(map[string]bool, len(fields))
		for w.json.More() {
			at, token, err := w.token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			read, wanted := fields[key]
			switch {
			case !wanted:
				read = w.skip
			case seen[key]:
				return w.errorf(at, "%s appears twice", key)
			default:
				seen[key] = true
			}
			if err := read(key); err != nil {
				return err
			}
		}
		_, _, err := w.token()
		return err
	}
}

// array reads an array, and calls element with the number of each, from 1.
func (w *walker) array(element func(n int) error) reader {
	return func(name string) error {
		if open, err := w.open(name, '[', "an array"); err != nil || !open {
			return err
		}
		for n := 1; w.json.More(); n++ {
			if err := element(n); err != nil {
				return err
			}
		}
		_, _, err := w.token()
		return err
	}
}

// text reads a string.
func (w *walker) text(into *string) reader {
	return func(name string) error {
		_, text, _, err := w.string(name)
		*into = text
		return err
	}
}

// date reads a time. It refuses the zero time, since the Manager takes that for a missing
// date.
func (w *walker) date(into *time.Time) reader {
	return func(name string) error {
		at, text, given, err := w.string(name)
		if err != nil || !given {
			return err
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil || t.IsZero() {
			return w.errorf(at, "%s must be a date as in 2006-01-02T15:04:05Z, not %.40q", name, text)
		}
		*into = t
		return nil
	}
}

// string returns the next value and its offset. given is false for null.
func (w *walker) string(name string) (at int, text string, given bool, err error) {
	at, token, err := w.token()
	if err != nil {
		return at, "", false, err
	}
	text, given = token.(string)
	if !given && token != nil {
		err = w.wrongType(at, name, "a string", token)
	}
	return at, text, given, err
}

// open reads the beginning of an object or an array. It returns false for null.
func (w *walker) open(name string, delim json.Delim, kind string) (bool, error) {
	at, token, err := w.token()
	switch {
	case err != nil || token == nil:
		return false, err
	case token != delim:
		return false, w.wrongType(at, name, kind, token)
	}
	return true, nil
}

func (w *walker) skip(string) error {
	var value json.RawMessage
	return w.json.Decode(&value)
}

func (w *walker) wrongType(at int, name, want string, got json.Token) error {
	kind := "an object"
	switch got := got.(type) {
	case json.Delim:
		if got == '[' {
			kind = "an array"
		}
	case string:
		kind = "a string"
	case json.Number:
		kind = "a number"
	case bool:
		kind = "a boolean"
	}
	return w.errorf(at, "%s must be %s, not %s", name, want, kind)
}
