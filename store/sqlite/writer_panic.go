package sqlite

import (
	"errors"
	"fmt"
)

// result returns the error of a write that is done. It panics in the goroutine of the caller if
// the write has panicked.
func (j *write) result() error {
	if p, ok := errors.AsType[panicError](j.err); ok {
		panic(p.value)
	}
	return j.err
}

// panicError is the error of a write that panicked, for example because of a change that breaks
// the contract of [incident.IncidentStore]. In the goroutine that leads, the panic would end the
// process of the host.
type panicError struct{ value any }

func (p panicError) Error() string { return fmt.Sprintf("sqlite: a write panicked: %v", p.value) }

// recovered runs fn, and turns a panic into an error.
func recovered(fn func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicError{value}
		}
	}()
	return fn()
}

// isOfOne reports whether an error is the fault of a single write of a batch.
func isOfOne(err error) bool {
	_, panicked := errors.AsType[panicError](err)
	return panicked || isConstraint(err)
}
