package incident

import "context"

// Authorizer is the host's word on who may see and follow incidents. It is asked
// before a view or a subscription is stored, and about each user whom a comment
// or a change of the status subscribes: a user without access may do both, but
// does not follow the incident then, and must not be mentioned. An error of its
// own ends the call that asked.
type Authorizer interface {
	// Authorized returns those of users who may see, follow and be notified of
	// an incident of the projects: members of the organization and, where the
	// incident has projects, of at least one of them. It must not call the
	// Manager, which may be in the middle of a write.
	//
	// A follower who is not returned is left out of a notification, and goes on
	// following: call [SubscriptionManager.Unsubscribe] when access ends for good.
	Authorized(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error)
}

// AuthorizerFunc makes an [Authorizer] of a function.
type AuthorizerFunc func(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error)

// Authorized implements [Authorizer].
func (f AuthorizerFunc) Authorized(ctx context.Context, org OrganizationID, projects []ProjectID, users []UserID) ([]UserID, error) {
	return f(ctx, org, projects, users)
}
