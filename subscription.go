package incident

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Subscription records that a user follows an incident. A user follows an
// incident at most once, and following it again changes nothing.
type Subscription struct {
	Incident Key    `json:"incident"`
	UserID   UserID `json:"userId"`

	// DateAdded is when the user first subscribed.
	DateAdded time.Time `json:"dateCreated"`
}

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

// SubscriptionManager is the subscriptions' part of [Manager].
type SubscriptionManager interface {
	// Subscribe makes the user follow the incident, and returns the subscription
	// with its first date. It returns [ErrForbidden] if the [Authorizer] does
	// not let the user in.
	Subscribe(ctx context.Context, key Key, user UserID) (Subscription, error)

	// Unsubscribe ends that. A user who does not follow is not an error.
	Unsubscribe(ctx context.Context, key Key, user UserID) error

	// Subscribers returns who follows the incident, ordered by UserID.
	Subscribers(ctx context.Context, key Key) ([]Subscription, error)
}

// SubscriptionStore persists who follows which incident.
type SubscriptionStore interface {
	// Subscribe stores sub and returns what is stored then: a user who follows
	// already keeps the first DateAdded. It must return [ErrNotFound] if the
	// incident does not exist.
	Subscribe(ctx context.Context, sub Subscription) (Subscription, error)

	// Unsubscribe deletes the subscription, if there is one. It must return
	// [ErrNotFound] if the incident does not exist.
	Unsubscribe(ctx context.Context, key Key, user UserID) error

	// Subscribers returns who follows the incident, ordered by UserID. It must
	// return [ErrNotFound] if the incident does not exist.
	Subscribers(ctx context.Context, key Key) ([]Subscription, error)
}

// followers is the subscription rule: a user who changes the status or
// comments, and each one mentioned, becomes subscribed. The result is sorted
// and without repetitions.
func followers(actor UserID, mentions []UserID) []UserID {
	users := slices.Clone(mentions)
	if actor != "" {
		users = append(users, actor)
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// authorized returns those of users whom the host lets see the incident.
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

// admitted returns the subscriptions of those whom the host lets see the
// incident.
func (m *manager) admitted(ctx context.Context, inc *Incident, subs []Subscription) ([]Subscription, error) {
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
	return slices.DeleteFunc(subs, func(s Subscription) bool { return !may[s.UserID] }), nil
}

// readers returns who follows the incident after a comment. An author without
// access does not; mentioning one without access is refused.
func (m *manager) readers(ctx context.Context, key Key, author UserID, mentions []UserID) ([]UserID, error) {
	users := followers(author, mentions)
	if m.options.Authorizer == nil {
		return users, nil
	}
	state, err := m.state(ctx, key)
	if err != nil {
		return nil, err
	}
	allowed, err := m.authorized(ctx, key.OrganizationID, state.Incident.Projects, users)
	if err != nil {
		return nil, err
	}
	may := setOf(allowed)
	if slices.ContainsFunc(mentions, func(u UserID) bool { return !may[u] }) {
		return nil, invalid("mentions", "must not have users who may not see the incident")
	}
	return allowed, nil
}

// admit checks that the user may see the incident.
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
	state, err := m.state(ctx, key)
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

func (m *manager) Subscribe(ctx context.Context, key Key, user UserID) (Subscription, error) {
	sub, err := m.subscribe(ctx, key, user)
	return sub, wrap(err, "subscribe to %s", key)
}

func (m *manager) subscribe(ctx context.Context, key Key, user UserID) (Subscription, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Subscription{}, err
	}
	if err := m.admit(ctx, key, user); err != nil {
		return Subscription{}, err
	}
	m.attempt()
	sub, err := m.store.Subscribe(ctx, Subscription{Incident: key, UserID: user, DateAdded: now})
	return sub, m.failed(err)
}

func (m *manager) Unsubscribe(ctx context.Context, key Key, user UserID) error {
	return wrap(m.unsubscribe(ctx, key, user), "unsubscribe from %s", key)
}

func (m *manager) unsubscribe(ctx context.Context, key Key, user UserID) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkID("userId", user, false); err != nil {
		return err
	}
	m.attempt()
	return m.failed(m.store.Unsubscribe(ctx, key, user))
}

func (m *manager) Subscribers(ctx context.Context, key Key) ([]Subscription, error) {
	subs, err := read(ctx, m, key, m.store.Subscribers)
	return listed(subs), wrap(err, "subscribers of %s", key)
}
