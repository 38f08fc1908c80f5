package incident

import (
	"cmp"
	"context"
	"time"
)

const (
	// MinRetention is the least [Retention.Keep].
	MinRetention = time.Hour

	// DefaultRetentionInterval is the default of [Retention.Interval].
	DefaultRetentionInterval = time.Hour
)

// Retention makes [Manager.Run] delete incidents some time after they were closed.
type Retention struct {
	// Keep is how long an incident is kept after it was closed, at least [MinRetention].
	// 0 keeps incidents for ever.
	Keep time.Duration

	// KeepFor returns Keep of an organization. It must be safe for concurrent use. If it
	// returns less than MinRetention, other than 0, the organization is logged and its
	// incidents are kept.
	//
	// Defaults to Keep for all organizations.
	KeepFor func(OrganizationID) time.Duration

	// Interval is the pause between two passes over all organizations, at least a second.
	//
	// Defaults to [DefaultRetentionInterval].
	Interval time.Duration
}

// enabled reports whether Run deletes anything.
func (r *Retention) enabled() bool { return r.Keep != 0 || r.KeepFor != nil }

// withDefaults returns a validated copy with defaults for all zero fields.
func (r Retention) withDefaults() (Retention, error) {
	switch {
	case r.Keep != 0 && r.Keep < MinRetention:
		return r, invalid("Retention.Keep", "is %v; set 0 to keep incidents for ever, or at least %v", r.Keep, MinRetention)
	case r.Interval != 0 && r.Interval < time.Second:
		return r, invalid("Retention.Interval", "is %v; set 0 for the default, or at least a second", r.Interval)
	}
	r.Interval = cmp.Or(r.Interval, DefaultRetentionInterval)
	return r, nil
}

// Purge holds the parameters of [RetentionManager.Purge].
type Purge struct {
	OrganizationID OrganizationID `json:"organizationId"` // required

	// ClosedBefore selects the closed incidents whose DateClosed is before it. Required.
	ClosedBefore time.Time `json:"closedBefore"`

	// Limit is the most incidents to delete. 0 does not limit.
	Limit int `json:"limit,omitzero"`
}

// Purged is the outcome of [RetentionManager.Purge].
type Purged struct {
	// Incidents is the number of deleted incidents.
	Incidents int `json:"incidents"`

	// Held is the number of incidents that were held back, because a notification of
	// them was not delivered yet, or because they were being changed.
	Held int `json:"held,omitzero"`
}

// Erasure holds the parameters of [RetentionManager.EraseUser].
type Erasure struct {
	OrganizationID OrganizationID `json:"organizationId"` // required
	UserID         UserID         `json:"userId"`         // required

	// As takes the place of the user, for example the ID of "a former user". Empty for
	// nobody: the activities look as if a program had made them, and the user's
	// assignments, views and subscriptions are deleted.
	As UserID `json:"as,omitzero"`
}

// RetentionManager is the part of [Manager] that deletes. Its methods need a store that is a
// [RetentionStore], as the stores of this module are, and return [ErrInvalid] in a transaction.
// They work in batches of a few milliseconds, with pauses that leave the store to others. A
// method that returned an error may have done a part of its work, and a repetition continues.
type RetentionManager interface {
	// Purge deletes closed incidents with everything that belongs to them: activities,
	// triggers, views, subscriptions and parked notifications. It holds back incidents
	// with notifications that are queued or being delivered, and deletes the oldest
	// started first.
	//
	// From then on every call returns [ErrNotFound] for them, also in other processes: at
	// once in this process, and within a second where reads are served from a cache. An
	// identifier is never assigned again. The UUIDs of a deleted incident are forgotten: a
	// creation that is repeated after its incident was deleted creates another.
	// [Incident.DuplicateOf] may name a deleted incident.
	//
	// See Options.Retention for deleting regularly.
	Purge(ctx context.Context, p Purge) (Purged, error)

	// EraseUser replaces a user by another ID in everything that the library stores of an
	// organization: the authors of activities and comments, acknowledgements, assignments,
	// views and subscriptions. It returns the number of changed incidents. The errors of parked
	// notifications that contain the user's ID become empty, which does not count. The texts of
	// titles, comments, labels and annotations stay as they are. A user of the same ID may
	// appear again later, so a host stops the user's calls first.
	//
	// A database keeps deleted data for a while, in free space, logs and backups, and a [Cache]
	// outside the process for up to Options.IncidentTTL.
	EraseUser(ctx context.Context, e Erasure) (int, error)

	// DeleteOrganization deletes everything of an organization, active incidents and
	// undelivered notifications too, and returns the number of deleted incidents. The store
	// keeps the identifier of its last incident, so that an identifier is never assigned
	// again. A host stops the calls for the organization first.
	DeleteOrganization(ctx context.Context, org OrganizationID) (int, error)

	// Organizations returns at most limit organizations with incidents whose ID is greater
	// than after, in ascending order, byte for byte. limit is 1 to [MaxPageSize]; see
	// [AllOrganizations]. It is the only call that names no organization, and is meant for
	// operators.
	Organizations(ctx context.Context, after OrganizationID, limit int) ([]OrganizationID, error)
}
