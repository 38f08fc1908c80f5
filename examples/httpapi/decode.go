package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/incidentkit/incident"
)

// maxBodySize has room for the longest comment with every byte escaped and for the
// maximum number of mentions.
const maxBodySize = 1 << 20

// body decodes the request's body into the pointers in fields. The body must be a JSON
// object, and must have no other field.
func (c *call) body(fields map[string]any) error {
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if charset, given := params["charset"]; err != nil || media != "application/json" || given && !strings.EqualFold(charset, "utf-8") {
		return errMediaType
	}
	if c.r.Header.Get("Content-Encoding") != "" {
		return errMediaType
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBodySize))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlowBody
	case err != nil:
		return malformed("the body ended early")
	}
	return decodeObject(data, fields)
}

// decodeObject is stricter than encoding/json, which ignores the case of names, takes the
// last of two equal names, and accepts invalid UTF-8.
func decodeObject(data []byte, fields map[string]any) error {
	return eachField(data, func(name string, value json.RawMessage) error {
		into, known := fields[name]
		if !known {
			return malformed("unknown field %.40q", name)
		}
		if err := json.Unmarshal(value, into); err != nil {
			return &incident.FieldError{Field: name, Problem: "must be " + kindOf(into)}
		}
		return nil
	})
}

// eachField calls fn for each field of a JSON object.
func eachField(data []byte, fn func(name string, value json.RawMessage) error) error {
	switch {
	case !utf8.Valid(data):
		return malformed("not UTF-8")
	case hasLoneSurrogate(data):
		return malformed("half a surrogate pair is escaped")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return malformed("not a JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		var value json.RawMessage
		token, err := d.Token()
		if err != nil {
			return malformed("not valid JSON")
		}
		name := token.(string) // the decoder ensures it
		if seen[name] {
			return &incident.FieldError{Field: name, Problem: "appears twice"}
		}
		seen[name] = true
		if err := d.Decode(&value); err != nil {
			return malformed("not valid JSON")
		}
		if err := fn(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return malformed("not valid JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed("something follows the JSON object")
	}
	return nil
}

// hasLoneSurrogate reports whether the JSON escapes half of a surrogate pair.
// encoding/json would replace it.
func hasLoneSurrogate(data []byte) bool {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		first := escaped(data[i:])
		switch {
		case !utf16.IsSurrogate(first):
			i++ // the escaped character may be a backslash
		case utf16.DecodeRune(first, escaped(data[i+6:])) == utf8.RuneError:
			return true
		default:
			i += 11
		}
	}
	return false
}

// escaped returns the code unit of the \u escape that data begins with, or -1.
func escaped(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

func kindOf(into any) string {
	switch into.(type) {
	case *int64:
		return "an integer"
	case *string, *incident.UserID:
		return "a string"
	case *bool:
		return "true or false"
	case *[]json.RawMessage:
		return "a list"
	}
	return "a list of strings"
}

// parseQuery returns the query parameters. All must be in names. Only "project" may be
// repeated, and no parameter may be empty.
func parseQuery(raw string, names []string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, malformed("the query cannot be parsed")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(names, name):
			return nil, malformed("unknown parameter %.40q", name)
		case len(q[name]) > 1 && name != "project":
			return nil, &incident.FieldError{Field: name, Problem: "must not be repeated"}
		case slices.Contains(q[name], ""):
			return nil, &incident.FieldError{Field: name, Problem: "must not be empty"}
		}
	}
	return q, nil
}

// perPage returns the size of a page, 0 for the default.
func perPage(q url.Values) (int, error) {
	if !q.Has("per_page") {
		return 0, nil
	}
	n, err := strconv.Atoi(q.Get("per_page"))
	if err != nil || n < 1 || n > incident.MaxPageSize {
		return 0, &incident.FieldError{Field: "per_page", Problem: fmt.Sprintf("must be 1 to %d", incident.MaxPageSize)}
	}
	return n, nil
}

// date returns a parameter as a time, or the zero time if it is absent.
func date(q url.Values, name string) (t time.Time, err error) {
	if !q.Has(name) {
		return t, nil
	}
	return parseDate(name, q.Get(name))
}

// parseDate returns the time in a parameter or a field.
func parseDate(name, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.IsZero() {
		return t, &incident.FieldError{Field: name, Problem: "must be a date as in 2006-01-02T15:04:05Z"}
	}
	return t, nil
}
