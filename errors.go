package incident

import (
	"context"
	"errors"
	"fmt"
)

// Categories of failure. Every error of a [Manager] and of a [Store] matches one of them, or
// the context's error, with [errors.Is].
var (
	// ErrNotFound means that the organization has no such record. A record of another
	// organization, and a deleted record, is not found either.
	ErrNotFound = errors.New("not found")

	// ErrInvalid means that an argument breaks a documented rule. The error is a
	// [*FieldError], which names the field. Nothing was written.
	ErrInvalid = errors.New("invalid argument")

	// ErrConflict means that the call contradicts the stored data. If another active
	// incident is in the way, the error is a [*ConflictError].
	ErrConflict = errors.New("conflict")

	// ErrVersionConflict is the [ErrConflict] of a write that was decided on an outdated
	// version. Read the incident again, and decide again.
	ErrVersionConflict = fmt.Errorf("%w: the incident has changed since it was read; read it again", ErrConflict)

	// ErrForbidden means that the rules of this package, or the [Authorizer], deny the
	// user access.
	ErrForbidden = errors.New("forbidden")

	// ErrUnavailable means that the store cannot answer now. Nothing was written, and
	// the call may be repeated.
	ErrUnavailable = errors.New("unavailable")

	// ErrUnknownOutcome means that the store cannot tell whether the write was
	// committed. Either all of it was, or nothing. To find out, repeat the call with the
	// same NotificationUUID or DetectionUUID, or read the incident.
	ErrUnknownOutcome = errors.New("outcome unknown: it was written whole or not at all; read the incident before repeating")
)

// FieldError reports a refused input field. It matches [ErrInvalid]. Its text names the field,
// never contains the whole value, and is safe to show to an end user.
type FieldError struct {
	Field   string // JSON name of the field
	Problem string // predicate, as in "is required"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Unwrap makes the error match [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

// ConflictError names the incident that is active in a slot of the call. It matches
// [ErrConflict].
type ConflictError struct {
	Existing Key // the active incident
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("conflict: %s is active for the same alert rule, project and query; close it first", e.Existing)
}

// Unwrap makes the error match [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// wrap adds the operation to an error, and returns nil for nil. Each public method wraps its
// error once. Frequent calls test the error first, because passing the arguments allocates.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("incident: "+format+": %w", append(args, err)...)
}

// checkContext returns an error for a context that is nil or has ended.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return invalid("ctx", "is required")
	}
	return ctx.Err()
}
