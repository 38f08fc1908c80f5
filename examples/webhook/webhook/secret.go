package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	secretPrefix = "whsec_"

	// Keys are at least as long as it takes to make guessing hopeless, and no longer than
	// a block of SHA-256, beyond which HMAC would shorten them.
	minKeySize = 24
	maxKeySize = 64
	newKeySize = 32
)

// Secret is a key that a sender and a receiver share, and nobody else. The zero Secret is
// none, and is refused. It is printed and logged without the key, which only Text tells.
type Secret struct {
	// key is a function for the sake of values that have a Secret in a field: fmt calls no
	// method of an unexported field, and prints what it has, even behind a pointer.
	key func() []byte
}

func newSecret(key []byte) Secret { return Secret{func() []byte { return key }} }

// NewSecret returns a new random Secret.
func NewSecret() Secret {
	key := make([]byte, newKeySize)
	_, _ = rand.Read(key) // it never fails
	return newSecret(key)
}

// ParseSecret reads a Secret as others write it: "whsec_" and the base64 of 24 to 64
// bytes, which must be random. The error does not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(text, secretPrefix)
	if !found {
		return Secret{}, errors.New("webhook: a secret begins with " + secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Secret{}, errors.New("webhook: a secret is base64 behind " + secretPrefix)
	}
	if len(key) < minKeySize || len(key) > maxKeySize {
		return Secret{}, fmt.Errorf("webhook: the key of a secret has %d to %d bytes, not %d", minKeySize, maxKeySize, len(key))
	}
	return newSecret(key), nil
}

// Text returns what [ParseSecret] reads.
func (s Secret) Text() string {
	if s.key == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key())
}

// Format implements [fmt.Formatter]: no verb prints the key.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretPrefix+"[redacted]") }

// sign returns the HMAC of a message. Id and timestamp must have no full stop, which
// separates them.
func (s Secret) sign(id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, s.key())
	_, _ = io.WriteString(mac, id+"."+timestamp+".") // a hash takes everything
	_, _ = mac.Write(body)
	return mac.Sum(nil)
}

// checkSecrets returns a copy of secrets that can be used.
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
