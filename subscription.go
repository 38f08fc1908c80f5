package incident

import (
	"context"
	"slices"
	"time"
)

// Subscription records that a user wants to be notified of an incident. A user has at
// most one subscription to an incident; subscribing again changes nothing.
type Subscription struct {
	Incident Key    `json:"incident"`
	UserID   UserID `json:"userId"`

	// DateAdded is when the user first subscribed.
	DateAdded time.Time `json:"dateCreated"`
}

// SubscriptionManager is the subscriptions' part of [Manager].
type SubscriptionManager interface {
	// Subscribe subscribes the user to the incident, and returns the subscription with
	// its first date. It returns [ErrForbidden] if the [Authorizer] denies the user
	// access.
	Subscribe(ctx context.Context, key Key, user UserID) (Subscription, error)

	// Unsubscribe removes the subscription. It returns nil if there is none.
	Unsubscribe(ctx context.Context, key Key, user UserID) error

	// Subscribers returns the subscriptions to the incident, in order of UserID.
	Subscribers(ctx context.Context, key Key) ([]Subscription, error)
}

// SubscriptionStore persists subscriptions.
type SubscriptionStore interface {
	// Subscribe saves sub and returns the stored row. A user who is subscribed already
	// keeps the first DateAdded. It must return [ErrNotFound] if the incident does not
	// exist.
	Subscribe(ctx context.Context, sub Subscription) (Subscription, error)

	// Unsubscribe deletes the subscription if it exists. It must return [ErrNotFound]
	// if the incident does not exist.
	Unsubscribe(ctx context.Context, key Key, user UserID) error

	// Subscribers returns the subscriptions to the incident, in order of UserID. It
	// must return [ErrNotFound] if the incident does not exist.
	Subscribers(ctx context.Context, key Key) ([]Subscription, error)
}

// subscribersOf is the subscription rule: the user who comments or changes the status
// becomes subscribed, and so do the mentioned users. The result is sorted and without
// repetitions. An empty actor is a program.
func subscribersOf(actor UserID, mentions []UserID) []UserID {
	users := slices.Clone(mentions)
	if actor != "" {
		users = append(users, actor)
	}
	slices.Sort(users)
	return slices.Compact(users)
}
