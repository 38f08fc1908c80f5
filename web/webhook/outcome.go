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

// ErrGone means that the receiver answered 410 Gone: it wants no more notifications. It
// matches [incident.ErrUndeliverable].
var ErrGone = fmt.Errorf("%w: the receiver wants no more notifications", incident.ErrUndeliverable)

// MaxRetryAfter is the longest delay that a receiver can request from a [Notifier].
const MaxRetryAfter = time.Hour

const (
	// drainSize and drainTime limit reading a response's body, so that its connection can
	// be reused. The body never changes the outcome.
	drainSize = 64 << 10
	drainTime = time.Second

	// excerptSize is the length of the body's excerpt in an error, in bytes.
	excerptSize = 200
)

// outcome converts the response to a delivery into the result of Notify.
func outcome(answer *http.Response, now time.Time) error {
	text := drain(answer.Body)
	code := answer.StatusCode
	// answer.Status is text of the receiver, so the error does not contain it.
	err := fmt.Errorf("%d %s%s", code, http.StatusText(code), text)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusGone:
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	if after, ok := retryAfter(answer.Header.Get("Retry-After"), now); ok {
		return &incident.RetryAfterError{After: after, Err: err}
	}
	return err
}

// retryAfter parses a Retry-After header, seconds or a date, and returns 0 to
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

// drain reads a body, and returns its beginning as the end of an error's text: a single
// line of printable characters.
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
