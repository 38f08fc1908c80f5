package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
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
	errBadSignature      = errors.New("a signature is not the base64 of an HMAC-SHA256")
	errBadTimestamp      = errors.New("the timestamp is not in seconds since 1970")
)

// formatSignatures returns a [HeaderSignature] with a signature for each secret.
func formatSignatures(secrets []Secret, id, timestamp string, body []byte) string {
	var text []string
	for _, s := range secrets {
		text = append(text, signatureVersion+base64.StdEncoding.EncodeToString(s.sign(id, timestamp, body)))
	}
	return strings.Join(text, " ")
}

// parseSignatures returns the signatures of a [HeaderSignature], or an error if there is
// none. It ignores those of other versions: a sender may add them during a migration.
func parseSignatures(text string) ([][]byte, error) {
	var all [][]byte
	for part := range strings.SplitSeq(text, " ") {
		encoded, ours := strings.CutPrefix(part, signatureVersion)
		if !ours {
			continue
		}
		if len(all) == maxSignatures {
			return nil, errTooManySignatures
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(signature) != sha256.Size {
			return nil, errBadSignature
		}
		all = append(all, signature)
	}
	if all == nil {
		return nil, errNoSignature
	}
	return all, nil
}

// signed reports whether any of the secrets made any of the signatures. It compares every
// pair in constant time, so that the time reveals neither a part of a signature nor the
// matching secret.
func signed(secrets []Secret, signatures [][]byte, id, timestamp string, body []byte) bool {
	found := false
	for _, s := range secrets {
		want := s.sign(id, timestamp, body)
		for _, got := range signatures {
			found = hmac.Equal(got, want) || found
		}
	}
	return found
}

func formatTimestamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// parseTimestamp parses a [HeaderTimestamp]: only digits, and at most 40 bits so that
// later arithmetic cannot overflow.
func parseTimestamp(text string) (time.Time, error) {
	seconds, err := strconv.ParseUint(text, 10, 40)
	if err != nil {
		return time.Time{}, errBadTimestamp
	}
	return time.Unix(int64(seconds), 0), nil
}
