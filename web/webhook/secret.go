package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	secretPrefix = "whsec_"

	// A key of minKeySize cannot be guessed. HMAC would shorten keys longer than
	// maxKeySize, a block of SHA-256.
	minKeySize = 24
	maxKeySize = 64
	newKeySize = 32
)

// Secret is a key shared by a sender and a receiver. The zero Secret is invalid. A Secret
// is printed and logged without its key; only Text returns it.
type Secret struct {
	// key is a function because fmt calls no methods of unexported fields and would print
	// the bytes, even behind a pointer.
	key func() []byte
}

func newSecret(key []byte) Secret { return Secret{func() []byte { return key }} }

// NewSecret returns a new random Secret.
func NewSecret() Secret {
	key := make([]byte, newKeySize)
	_, _ = rand.Read(key) // never fails
	return newSecret(key)
}

// ParseSecret parses the standard format: "whsec_" and the base64 of 24 to 64 random
// bytes. The prefix and the padding may be missing, since some senders and forms leave
// them out. The error does not contain the text.
func ParseSecret(text string) (Secret, error) {
	encoded := strings.TrimPrefix(text, secretPrefix)
	encoding := base64.RawStdEncoding
	if strings.Contains(encoded, "=") {
		encoding = base64.StdEncoding
	}
	key, err := encoding.DecodeString(encoded)
	if err != nil {
		return Secret{}, errors.New("webhook: a secret must be base64, after " + secretPrefix + " or alone")
	}
	if len(key) < minKeySize || len(key) > maxKeySize {
		return Secret{}, fmt.Errorf("webhook: the key of a secret has %d to %d bytes, not %d", minKeySize, maxKeySize, len(key))
	}
	return newSecret(key), nil
}

// Text returns the secret in the standard format, with prefix and padding.
func (s Secret) Text() string {
	if s.key == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key())
}

// Format implements [fmt.Formatter]. No verb prints the key.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretPrefix+"[redacted]") }

// checkSecrets validates and copies secrets.
func checkSecrets(secrets []Secret) ([]Secret, error) {
	if len(secrets) == 0 || len(secrets) > maxSignatures {
		return nil, fmt.Errorf("webhook: want 1 to %d secrets, not %d", maxSignatures, len(secrets))
	}
	for i, s := range secrets {
		if s.key == nil {
			return nil, fmt.Errorf("webhook: secret %d is empty; use NewSecret or ParseSecret", i+1)
		}
	}
	return slices.Clone(secrets), nil
}
