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
	return m.consultInTx(ctx, org, projects, users)
}

// consultInTx asks the Authorizer in a transaction. The transaction may hold the last connection
// of a pool, and the Authorizer may wait for a connection of the same pool. So consultInTx calls
// it in another goroutine, and after authorizerTimeout returns without it, even if it ignores
// its context.
func (m *manager) consultInTx(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
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
				a.panicked = recover() // nil after runtime.Goexit
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

// errAuthorizerWaits is returned if the Authorizer has not answered in time.
var errAuthorizerWaits = fmt.Errorf("%w: no answer for %v while a transaction waited, which may hold the last connection "+
	"of the pool that the Authorizer needs; give the Authorizer a pool of its own, or ask it before the transaction",
	ErrUnavailable, authorizerTimeout)

// authorized returns the subset of users that have access to an incident of the projects.
func (m *manager) authorized(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
	if m.options.Authorizer == nil || len(users) == 0 {
		return users, nil
	}
	allowed, err := m.consult(ctx, org, projects, users)
	if err != nil {
		return nil, fmt.Errorf("authorizer: %w", err)
	}
	may := setOf(allowed)
	return slices.DeleteFunc(slices.Clone(users), func(u UserID) bool { return !may[u] }), nil
}

func setOf(users []UserID) map[UserID]bool {
	set := make(map[UserID]bool, len(users))
	for _, u := range users {
		set[u] = true
	}
	return set
}

// admitted returns the subscriptions of users that have access to the incident. It refuses the
// assignee mustAdmit, if not empty, without access.
func (m *manager) admitted(ctx context.Context, inc *Incident, subs []Subscription, mustAdmit UserID) ([]Subscription, error) {
	if len(subs) == 0 {
		return nil, nil
	}
	users := make([]UserID, len(subs))
	for i, s := range subs {
		users[i] = s.UserID
	}
	allowed, err := m.authorized(ctx, inc.OrganizationID, inc.Projects, users)
	if err != nil {
		return nil, err
	}
	if len(allowed) == len(users) {
		return subs, nil
	}
	may := setOf(allowed)
	if mustAdmit != "" && !may[mustAdmit] {
		return nil, invalid("assignee", "must be a user who may see the incident")
	}
	return slices.DeleteFunc(subs, func(s Subscription) bool { return !may[s.UserID] }), nil
}

// commentSubscribers returns the users that a comment subscribes. It leaves out an author
// without access, and refuses a mentioned user without access.
func (m *manager) commentSubscribers(ctx context.Context, key Key, author UserID, mentions []UserID) ([]UserID, error) {
	users := subscribersOf(author, mentions)
	if m.options.Authorizer == nil {
		return users, nil
	}
	state, err := m.readState(ctx, key)
	if err != nil {
		return nil, err
	}
	allowed, err := m.authorized(ctx, key.OrganizationID, state.Incident.Projects, users)
	if err != nil {
		return nil, err
	}
	may := setOf(allowed)
	if slices.ContainsFunc(mentions, func(u UserID) bool { return !may[u] }) {
		return nil, invalid("mentions", "must not name users who may not see the incident")
	}
	return allowed, nil
}

// admit returns [ErrForbidden] if the user has no access to the incident.
func (m *manager) admit(ctx context.Context, key Key, user UserID) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkID("userId", user, false); err != nil {
		return err
	}
	if m.options.Authorizer == nil {
		return nil
	}
	state, err := m.readState(ctx, key)
	if err != nil {
		return err
	}
	allowed, err := m.authorized(ctx, key.OrganizationID, state.Incident.Projects, []UserID{user})
	if err != nil {
		return err
	}
	if len(allowed) == 0 {
		return fmt.Errorf("the user may not see the incident: %w", ErrForbidden)
	}
	return nil
}
