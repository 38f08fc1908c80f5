package incident

import (
	"context"
	"time"
)

// Seen records when a user last saw an incident. It never goes back in time,
// whatever the order in which views arrive.
type Seen struct {
	Incident Key       `json:"incident"`
	UserID   UserID    `json:"userId"`
	LastSeen time.Time `json:"lastSeen"`
}

// SeenManager is the part of [Manager] about who has seen an incident.
type SeenManager interface {
	// MarkSeen records that the user sees the incident now, and returns when
	// that last was: now, or later where a clock ran ahead. It returns
	// [ErrForbidden], and records nothing, if the [Authorizer] does not let the
	// user in.
	MarkSeen(ctx context.Context, key Key, user UserID) (Seen, error)

	// SeenBy returns who has seen the incident, the latest first. Users of the
	// same time are in ascending order.
	SeenBy(ctx context.Context, key Key) ([]Seen, error)
}

// SeenStore persists who has seen which incident.
type SeenStore interface {
	// MarkSeen stores seen, unless a later LastSeen of the user is stored, and
	// returns what is stored then. It must return [ErrNotFound] if the incident
	// does not exist.
	MarkSeen(ctx context.Context, seen Seen) (Seen, error)

	// SeenBy returns who has seen the incident, by LastSeen descending, then by
	// UserID. It must return [ErrNotFound] if the incident does not exist.
	SeenBy(ctx context.Context, key Key) ([]Seen, error)
}
