package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/incidentkit/incident"
)

// maxTokenFile bounds the size of the token file.
const maxTokenFile = 1 << 20

// readDirectory reads a file of tokens, in the format that the usage describes. Its
// errors name the faulty entry.
func readDirectory(file string) (*directory, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(data) > maxTokenFile {
		return nil, fmt.Errorf("%s: larger than %d KiB", file, maxTokenFile>>10)
	}
	d := &directory{users: map[incident.UserID]memberships{}}
	if err := d.decode(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

func (d *directory) decode(data []byte) error {
	var entries []json.RawMessage
	if err := decodeObject(data, map[string]any{"tokens": &entries}); err != nil {
		return err
	}
	if len(entries) == 0 {
		return &incident.FieldError{Field: "tokens", Problem: "must have at least one"}
	}
	for n, entry := range entries {
		if err := d.decodeToken(entry); err != nil {
			return fmt.Errorf("token %d: %w", n+1, err)
		}
	}
	return nil
}

func (d *directory) decodeToken(data []byte) error {
	var t token
	var sum string
	var organizations json.RawMessage
	if err := decodeObject(data, map[string]any{"sha256": &sum, "user": &t.user, "organizations": &organizations}); err != nil {
		return err
	}
	if bytes, err := hex.DecodeString(sum); err != nil || copy(t.sum[:], bytes) < sha256.Size || len(bytes) > sha256.Size {
		return &incident.FieldError{Field: "sha256", Problem: "must be the 64 hexadecimal digits of the token's SHA-256"}
	}
	if slices.ContainsFunc(d.tokens, func(other token) bool { return other.sum == t.sum }) {
		return &incident.FieldError{Field: "sha256", Problem: "is that of a token before"}
	}
	if err := checkName("user", string(t.user)); err != nil {
		return err
	}
	if organizations == nil {
		return &incident.FieldError{Field: "organizations", Problem: "is required"}
	}
	of, err := decodeMemberships(organizations)
	if err != nil {
		return err
	}
	if before, known := d.users[t.user]; known && !reflect.DeepEqual(before, of) {
		return &incident.FieldError{Field: "organizations", Problem: "must be the same for all tokens of a user"}
	}
	d.tokens = append(d.tokens, t)
	d.users[t.user] = of
	return nil
}

func decodeMemberships(data []byte) (memberships, error) {
	of := memberships{}
	err := eachField(data, func(name string, value json.RawMessage) error {
		var m membership
		err := decodeObject(value, map[string]any{"allProjects": &m.all, "projects": &m.projects})
		if err == nil {
			err = m.check()
		}
		if err == nil {
			err = checkName("organizations", name)
		}
		of[incident.OrganizationID(name)] = m
		if err != nil {
			return fmt.Errorf("organization %.40q: %w", name, err)
		}
		return nil
	})
	return of, err
}

func (m *membership) check() error {
	if m.all != (m.projects == nil) {
		return &incident.FieldError{Field: "projects", Problem: "must be given, or allProjects be true, but not both"}
	}
	if len(m.projects) > incident.MaxAccessProjects {
		return &incident.FieldError{Field: "projects", Problem: fmt.Sprintf("must not be more than %d; use allProjects", incident.MaxAccessProjects)}
	}
	slices.Sort(m.projects)
	m.projects = slices.Compact(m.projects)
	for _, p := range m.projects {
		if err := checkName("projects", string(p)); err != nil {
			return err
		}
	}
	return nil
}

// checkName returns an error for a name that the library would refuse as an identifier.
func checkName(field, name string) error {
	if name == "" || len(name) > incident.MaxIDSize || strings.ContainsFunc(name, unicode.IsControl) {
		return &incident.FieldError{Field: field, Problem: fmt.Sprintf("must have 1 to %d bytes without control characters", incident.MaxIDSize)}
	}
	return nil
}
