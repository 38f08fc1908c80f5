package incident

import (
	"context"
	"time"
)

// Seen records when a user last saw an incident. Views may arrive in any order; LastSeen
// never decreases.
type Seen struct {
	Incident Key       `json:"incident"`
	UserID   UserID    `json:"userId"`
	LastSeen time.Time `json:"lastSeen"`
}

// SeenManager is the views' part of [Manager].
type SeenManager interface {
	// MarkSeen records that the user sees the incident now, and returns the latest
	// view, which is later than now if the clock of another process is ahead.
	//
	// It returns [ErrForbidden], and records nothing, if the [Authorizer] denies the
	// user access.
	MarkSeen(ctx context.Context, key Key, user UserID) (Seen, error)

	// SeenBy returns the latest view of each user, the latest first. Views of the same
	// time are in order of UserID.
	SeenBy(ctx context.Context, key Key) ([]Seen, error)
}

// SeenStore persists the latest view of each user and incident.
type SeenStore interface {
	// MarkSeen saves seen unless a later LastSeen of the user is stored, and returns
	// the stored row. It must return [ErrNotFound] if the incident does not exist.
	MarkSeen(ctx context.Context, seen Seen) (Seen, error)

	// SeenBy returns the rows of the incident, by LastSeen descending, then by UserID
	// ascending. It must return [ErrNotFound] if the incident does not exist.
	SeenBy(ctx context.Context, key Key) ([]Seen, error)
}
