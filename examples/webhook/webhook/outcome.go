package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/incidentkit/incident"
)

// MaxRetryAfter is the longest that a receiver can have a [Notifier] wait.
const MaxRetryAfter = time.Hour

const (
	// What is read of an answer's body, so that its connection can be used again, and for
	// how long. It says nothing that could change the outcome.
	drainSize = 64 << 10
	drainTime = time.Second

	// excerptSize is how much of it goes into an error, in bytes.
	excerptSize = 200
)

// outcome is what the answer to a delivery means.
func outcome(answer *http.Response, now time.Time) error {
	text := drain(answer.Body)
	code := answer.StatusCode
	// Not answer.Status, which is the receiver's own words.
	err := fmt.Errorf("%d %s%s", code, http.StatusText(code), text)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if after, ok := retryAfter(answer.Header.Get("Retry-After"), now); ok {
			return &incident.RetryAfterError{After: after, Err: err}
		}
		return err
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code < 200, code >= 500:
		return err
	}
	return fmt.Errorf("%w: %w", incident.ErrUndeliverable, err)
}

// retryAfter reads a Retry-After header, seconds or a date, and returns 0 to
// [MaxRetryAfter].
func retryAfter(text string, now time.Time) (after time.Duration, ok bool) {
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		const most = uint64(MaxRetryAfter / time.Second)
		return time.Duration(min(seconds, most)) * time.Second, true
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(date.Sub(now), 0), MaxRetryAfter), true
}

// drain reads a body, and returns how it begins as the end of an error's text: one line of
// characters that do nothing to a terminal or a log.
func drain(body io.Reader) (excerpt string) {
	start := make([]byte, excerptSize)
	n, err := io.ReadFull(body, start)
	if err == nil {
		_, _ = io.CopyN(io.Discard, body, drainSize-excerptSize) // best effort
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(start[:n]), ""))
	if text = strings.Join(strings.Fields(text), " "); text == "" {
		return ""
	}
	return ": " + text
}
