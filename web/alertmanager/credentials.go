package alertmanager

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// credentials are the hashes of the Authorization headers that are accepted. One round of SHA-256
// is enough for long random tokens.
type credentials [][sha256.Size]byte

func credentialsOf(o *Options) credentials {
	var c credentials
	for _, token := range o.Tokens {
		c = append(c, sha256.Sum256([]byte("bearer "+token)))
	}
	if o.Username != "" {
		c = append(c, sha256.Sum256([]byte("basic "+o.Username+":"+o.Password)))
	}
	return c
}

// admit reports whether the request has credentials of c. It compares all hashes, each in constant
// time, so that the time reveals nothing about them.
func (c credentials) admit(r *http.Request) bool {
	header := r.Header.Values("Authorization")
	if len(header) != 1 {
		return false
	}
	var given string
	if user, password, ok := r.BasicAuth(); ok {
		given = "basic " + user + ":" + password
	} else {
		scheme, token, _ := strings.Cut(header[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return false
		}
		given = "bearer " + strings.TrimSpace(token)
	}
	sum, found := sha256.Sum256([]byte(given)), 0
	for i := range c {
		found |= subtle.ConstantTimeCompare(sum[:], c[i][:])
	}
	return found == 1
}
