package incident

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// authorizerTimeout bounds a call of the [Authorizer] within a transaction.
const authorizerTimeout = 5 * time.Second

// consult asks the Authorizer.
func (m *manager) consult(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
	projects, users = slices.Clone(projects), slices.Clone(users)
	if m.tx == nil {
		return m.options.Authorizer.Authorized(ctx, org, projects, users)
	}
	return m.consultWithin(ctx, org, projects, users)
}

// consultWithin asks the Authorizer in a transaction, which may hold the last connection of the
// very pool that the Authorizer waits for. It does not wait for one that takes too long,
// also if that heeds no context.
func (m *manager) consultWithin(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
	type answer struct {
		users    []UserID
		err      error
		panicked any
		returned bool
	}
	asking, cancel := context.WithTimeout(context.WithValue(ctx, insideKey{&m.inside}, m.tx), authorizerTimeout)
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if !a.returned {
				a.panicked = recover() // nil if the goroutine was ended
			}
			done <- a
		}()
		defer m.inside.enter(m.tx)()
		a.users, a.err = m.options.Authorizer.Authorized(asking, org, projects, users)
		a.returned = true
	}()
	var a answer
	select {
	case a = <-done:
	case <-asking.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errAuthorizerWaits
	}
	switch {
	case a.panicked != nil:
		panic(a.panicked)
	case !a.returned:
		runtime.Goexit()
	case a.err != nil && asking.Err() != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("%w: %w", errAuthorizerWaits, a.err)
	}
	return a.users, a.err
}

// errAuthorizerWaits is the error of an Authorizer that did not answer in time.
var errAuthorizerWaits = fmt.Errorf("%w: no answer for %v while a transaction waited, which may hold the last connection "+
	"of the pool that the Authorizer needs; give the Authorizer a pool of its own, or ask it before the transaction",
	ErrUnavailable, authorizerTimeout)
