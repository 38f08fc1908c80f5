package events

import (
	"errors"
	"strings"
	"time"
)

// layouts are the accepted forms of a time with a zone. [time.Parse] accepts fractions of the seconds
// in each of them.
var layouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04Z0700",
	"20060102T150405Z07:00",
	"20060102T150405Z0700",
}

// vague are the accepted forms that name no instant.
var vague = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02", "20060102T150405"}

// maxTimestamp is longer than any timestamp.
const maxTimestamp = 64

var errTimestamp = errors.New("must be a time in RFC 3339, as in 2026-03-14T02:31:00Z")

// parseTimestamp parses a timestamp. It returns the zero time for a timestamp that names no instant.
func parseTimestamp(text string) (time.Time, error) {
	if text = strings.TrimSpace(text); len(text) > maxTimestamp {
		return time.Time{}, errTimestamp
	}
	text = strings.ToUpper(text)
	if date, clock, ok := strings.Cut(text, " "); ok { // as many tools print it
		text = date + "T" + strings.ReplaceAll(clock, " ", "")
	}
	if before, ok := strings.CutSuffix(text, "UTC"); ok {
		text = before + "Z"
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range vague {
		if _, err := time.Parse(layout, text); err == nil {
			return time.Time{}, nil
		}
	}
	return time.Time{}, errTimestamp
}
