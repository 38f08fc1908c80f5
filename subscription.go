package incident

import (
	"context"
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
