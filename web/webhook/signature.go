package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	// HeaderID identifies the notification, the same in every attempt. It is the
	// activity's NotificationUUID, unique in its organization.
	HeaderID = "Webhook-Id"

	// HeaderTimestamp is the time of the attempt, in seconds since 1970.
	HeaderTimestamp = "Webhook-Timestamp"

	// HeaderSignature has a list of signatures separated by spaces. Each is "v1," and the
	// base64 of the HMAC-SHA256 of "<id>.<timestamp>.<body>".
	HeaderSignature = "Webhook-Signature"
)

const (
	signatureVersion = "v1,"

	// maxSignatures bounds the comparisons of a receiver.
	maxSignatures = 16
)

var (
	errNoSignature       = errors.New("no signature of version v1")
	errTooManySignatures = fmt.Errorf("more than %d signatures", maxSignatures)
	errBadTimestamp      = errors.New("the timestamp is not in seconds since 1970")
)

// formatSignatures returns a [HeaderSignature] with a signature for each secret.
func formatSignatures(secrets []Secret, id string, at time.Time, body []byte) string {
	var all []string
	for _, s := range secrets {
		all = append(all, signatureVersion+sign(s, id, formatTimestamp(at), body))
	}
	return strings.Join(all, " ")
}

// sign returns the signature of a delivery by a secret, in base64 without the version.
func sign(s Secret, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, s.key())
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkSignatures returns an error if a [HeaderSignature] has no signature of this version,
// or too many. Other versions are ignored: a sender may add them during a migration. A
// malformed signature counts, and matches nothing.
func checkSignatures(text string) error {
	count := 0
	for part := range strings.SplitSeq(text, " ") {
		if strings.HasPrefix(part, signatureVersion) {
			count++
		}
	}
	switch {
	case count == 0:
		return errNoSignature
	case count > maxSignatures:
		return errTooManySignatures
	}
	return nil
}

// signed reports whether any of the secrets made any of the signatures. It compares each signature
// with each secret in constant time, so that the time does not reveal the matching secret. The text
// after a signature's second comma is ignored, as the reference implementation does.
func signed(secrets []Secret, h http.Header, body []byte) bool {
	id, timestamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	found := false
	for _, s := range secrets {
		want := []byte(sign(s, id, timestamp, body))
		for part := range strings.SplitSeq(h.Get(HeaderSignature), " ") {
			text, ours := strings.CutPrefix(part, signatureVersion)
			text, _, _ = strings.Cut(text, ",")
			found = ours && hmac.Equal([]byte(text), want) || found
		}
	}
	return found
}

func formatTimestamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// parseTimestamp parses a [HeaderTimestamp]: only digits as formatTimestamp writes them,
// and at most 40 bits so that later arithmetic cannot overflow.
func parseTimestamp(text string) (time.Time, error) {
	seconds, err := strconv.ParseUint(text, 10, 40)
	if t := time.Unix(int64(seconds), 0); err == nil && formatTimestamp(t) == text {
		return t, nil
	}
	return time.Time{}, errBadTimestamp
}
