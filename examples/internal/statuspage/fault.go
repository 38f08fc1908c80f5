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

// errorf returns a *fileError for the value at the offset.
func (s *source) errorf(offset int, format string, args ...any) error {
	return &fileError{source: s, offset: offset, err: fmt.Errorf(format, args...)}
}

// fileError is a fault in a file, with its position.
type fileError struct {
	source *source
	offset int
	err    error
}

// Error returns position and problem in a line. A line ends with LF, CRLF or CR. The
// column is in bytes.
func (e *fileError) Error() string {
	before := e.source.data[:e.offset]
	line := 1 + bytes.Count(before, []byte("\n")) + bytes.Count(before, []byte("\r")) - bytes.Count(before, []byte("\r\n"))
	column := e.offset - bytes.LastIndexAny(before, "\r\n")
	return fmt.Sprintf("%s:%d:%d: %v", e.source.name, line, column, e.err)
}

func (e *fileError) Unwrap() error { return e.err }

// within adds the part of the file that contains the fault.
func within(what fmt.Stringer, err error) error {
	if e, ok := errors.AsType[*fileError](err); ok {
		e.err = fmt.Errorf("%v: %w", what, e.err)
	}
	return err
}

// refused converts a refusal of the Manager into an error about the file, with the file's
// field names; date is the field that the Manager's date came from. It returns other
// errors unchanged.
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
