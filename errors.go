package incident

import (
	"context"
	"errors"
	"fmt"
)

// The categories of failure. Every error of a [Manager] and of a [Store]
// matches one of them, or the error of its context, with [errors.Is].
var (
	// ErrNotFound means that no such record exists in the organization. What
	// belongs to another organization is answered in the same way.
	ErrNotFound = errors.New("not found")

	// ErrInvalid means that an argument breaks a documented rule. It comes as
	// a [*FieldError] that names the field. Nothing was written.
	ErrInvalid = errors.New("invalid argument")

	// ErrConflict means that the call is at odds with what is stored. Where
	// another active incident is in the way, it comes as a [*ConflictError].
	ErrConflict = errors.New("conflict")

	// ErrVersionConflict is the [ErrConflict] of a write that was decided on a
	// state which is no longer the standing one. Load the incident and decide
	// again.
	ErrVersionConflict = fmt.Errorf("%w: the incident has changed since it was read; read it again", ErrConflict)

	// ErrForbidden means that the user may not do this, by the rules of this
	// package or by the host's [Authorizer].
	ErrForbidden = errors.New("forbidden")

	// ErrUnavailable means that the store cannot answer now. Nothing was
	// written; the call may be repeated.
	ErrUnavailable = errors.New("unavailable")

	// ErrUnknownOutcome means that the store cannot tell whether the write was
	// committed. All of it was, or nothing. Repeat the call with the same
	// NotificationUUID or DetectionUUID, or read the incident, to find out.
	ErrUnknownOutcome = errors.New("outcome unknown: it was written whole or not at all; read the incident before repeating")
)

// FieldError is an input field that is refused. It matches [ErrInvalid]. Its
// text names the field, never the whole value, and is safe to show to an end
// user.
type FieldError struct {
	Field   string // JSON name of the field
	Problem string // predicate, as in "is required"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Unwrap makes the error match [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

// ConflictError says which other incident is active in a slot that the call
// needs. It matches [ErrConflict].
type ConflictError struct {
	Existing Key
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("conflict: %s is active for the same alert rule, project and query; close it first", e.Existing)
}

// Unwrap makes the error match [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// wrap says what the package was doing. It is the one wrap of this layer. Its
// arguments are allocated before it is called, so that frequent calls ask for the
// error first.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("incident: "+format+": %w", append(args, err)...)
}

// checkContext refuses a nil context and a finished one before any work.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return invalid("ctx", "is required")
	}
	return ctx.Err()
}
