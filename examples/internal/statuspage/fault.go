package statuspage

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/incidentkit/incident"
)

// source is a file in memory.
type source struct {
	name string
	data []byte
}

// errorf returns a *fileError for what begins at the offset.
func (s *source) errorf(offset int, format string, args ...any) error {
	return &fileError{source: s, offset: offset, err: fmt.Errorf(format, args...)}
}

// fileError is something wrong with a file, and where.
type fileError struct {
	source *source
	offset int
	err    error
}

// Error returns the place and the problem as one line. The column is in bytes.
func (e *fileError) Error() string {
	before := e.source.data[:e.offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := e.offset - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("%s:%d:%d: %v", e.source.name, line, column, e.err)
}

func (e *fileError) Unwrap() error { return e.err }

// within says what the fault of a file lies in.
func within(what fmt.Stringer, err error) error {
	if e, ok := errors.AsType[*fileError](err); ok {
		e.err = fmt.Errorf("%v: %w", what, e.err)
	}
	return err
}

// refused tells what the Manager refused, in the words and at a place of the
// file, where date is what its date came from. Other errors are not the file's
// fault and stay as they are.
func (s *source) refused(at int, date string, err error) error {
	refusal, ok := errors.AsType[*incident.FieldError](err)
	if !ok {
		return err
	}
	names := map[string]string{
		"organizationId": "page.id",
		"title":          "name",
		"project":        "component",
		"projects":       "components",
		"comment":        "body",
		"dateStarted":    "started_at",
		"date":           date,
	}
	return s.errorf(at, "%s %s", cmp.Or(names[refusal.Field], refusal.Field), refusal.Problem)
}
