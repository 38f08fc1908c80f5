package incident

import "context"

// Authorizer decides which users may see incidents and subscribe to them. A [Manager]
// asks it
//
//   - before it records a view or a subscription, which fails with [ErrForbidden] if the
//     user has no access;
//   - about each user that a comment or a status change would subscribe. A user without
//     access may still comment and change the status, but is not subscribed, and must not
//     be mentioned;
//   - about the subscribers of an incident, before each attempt to notify them.
//
// If the Authorizer returns an error, the call or the attempt fails with it.
type Authorizer interface {
	// Authorized returns the subset of users that have access to an incident of the
	// projects: members of the organization and, if there are projects, of at least one
	// project. It must not call the Manager, which may be in the middle of a write.
	//
	// A subscriber without access is left out of a notification, but stays
	// subscribed: call [SubscriptionManager.Unsubscribe] when access ends for good.
	Authorized(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error)
}

// AuthorizerFunc is a function that implements [Authorizer].
type AuthorizerFunc func(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error)

// Authorized implements [Authorizer].
func (f AuthorizerFunc) Authorized(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
	return f(ctx, org, projects, users)
}
