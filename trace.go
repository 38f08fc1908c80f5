package incident

import (
	"context"
	"errors"
)

// Call describes a call of a [Manager] to [Options.Trace]. It has no texts of users.
type Call struct {
	// Name is the name of the method, such as "Create".
	Name string

	// OrganizationID is the organization. Empty if the call names none, or an invalid one.
	OrganizationID OrganizationID

	// Identifier is the identifier of the incident. 0 if the call does not name exactly one.
	Identifier int64

	// InTx is the context that Trace returned for the [Manager.InTx] whose function makes
	// the call. Nil outside InTx. See [Options.Trace].
	InTx context.Context
}

// ErrNoReturn is the error of a call that panicked or ended its goroutine, for the function that
// [Options.Trace] returned. No call returns it.
var ErrNoReturn = errors.New("the call panicked or ended its goroutine")
