package incident

import (
	"context"
	"time"
)

// RetentionStore is a [Store] that can delete incidents and organizations, and the traces of a
// user. RunRetention of package storetest proves a new one.
//
//   - Nothing of a deleted incident remains visible. Every method behaves as if the incident
//     had never existed, except that its identifier is never assigned again. The last holder
//     of a slot is none once it was deleted, and the version of the slot stays.
//   - [FeedStore] Changes returns a deleted incident with the version that the call returned,
//     like any other changed incident. A store may forget deletions after [FeedMemory]. It
//     must then return a Reset for the positions before them.
//   - Of concurrent writes to a deleted incident, none succeeds after the deletion.
//
// The methods may work in several transactions. Purge and DeleteOrganization must leave every
// incident whole or deleted. EraseUser may replace the user place by place, and readers may see
// an incident in between.
//
// With an error, a method must return a zero result. It may have done a part of its work, and a
// repetition with the same arguments must do the rest. The repetition need not return the
// incidents of that part again; [FeedStore] Changes must report them.
//
// No method is called in a transaction, except Organizations.
type RetentionStore interface {
	Store

	// Purge visits the closed incidents of an organization that are due, because their
	// DateClosed is before q.ClosedBefore, in ascending order of DateStarted, then
	// Identifier, after the position of q. It visits at most q.Limit, and fewer if
	// deleting them takes long, but at least one that is due.
	//
	// It deletes each with everything that belongs to it, parked notifications too. It
	// must hold back an incident with a notification that is queued, claimed or replayed,
	// or with a pending reminder. It may hold back an incident that another transaction
	// is changing. It must not make other writers wait for longer than a deletion.
	Purge(ctx context.Context, q PurgeQuery) (PurgeBatch, error)

	// EraseUser visits at most q.Limit incidents of an organization in ascending order
	// of Identifier, and replaces the user by q.As:
	//
	//   - in Activity.UserID, and in the Old and New of activities whose Field is
	//     "assignee". The Revision of a comment is incremented.
	//   - in Response.Assignee and Response.AcknowledgedBy. The incident's Version is then
	//     incremented.
	//   - in Seen and Subscription. If q.As is empty, the entries are deleted. If q.As has
	//     an entry already, the later LastSeen and the earlier DateAdded remain.
	//
	// The error of a parked notification becomes empty if it contains the user's ID.
	// Titles, comments, labels and annotations stay as they are. Changes must report the
	// incidents whose Version or comments have changed.
	EraseUser(ctx context.Context, q EraseQuery) (EraseBatch, error)

	// DeleteOrganization deletes at most limit incidents of an organization, active ones
	// too, with everything that belongs to them. Once none is left, it deletes everything
	// else of the organization except the identifier of its last incident, and returns
	// Done. A call must delete an incident or return Done, unless other transactions are
	// changing the incidents that are left. Positions of the feed before that must be answered with a Reset. It does
	// nothing and returns Done if there is nothing to delete.
	DeleteOrganization(ctx context.Context, org OrganizationID, limit int) (DeleteBatch, error)

	// Organizations returns at most limit organizations with incidents whose ID is greater
	// than after, in ascending order, byte for byte.
	Organizations(ctx context.Context, after OrganizationID, limit int) ([]OrganizationID, error)

	// Lease gives a holder the exclusive right to do a task for a duration, if nobody else
	// has that right, or prolongs or shortens the right of the holder. Leases are measured
	// by a clock that all processes share.
	Lease(ctx context.Context, task, holder string, d time.Duration) (TaskLease, error)
}

// PurgeQuery holds the parameters of [RetentionStore] Purge.
type PurgeQuery struct {
	OrganizationID OrganizationID
	ClosedBefore   time.Time

	// After excludes the incidents up to this position. Nil to begin with the first.
	After *Position

	Limit int // at least 1
}

// PurgeBatch is the outcome of [RetentionStore] Purge.
type PurgeBatch struct {
	// Purged lists the deleted incidents, each with a version that is greater than all
	// versions that it had.
	Purged []IncidentVersion

	// Held counts the visited incidents that were held back.
	Held int

	// Next is the position of the last visited incident. Nil if no incident after it is
	// due.
	Next *Position
}

// EraseQuery holds the parameters of [RetentionStore] EraseUser.
type EraseQuery struct {
	OrganizationID OrganizationID
	UserID         UserID
	As             UserID // may be empty; differs from UserID
	After          int64  // the identifier after which to begin
	Limit          int    // at least 1
}

// EraseBatch is the outcome of [RetentionStore] EraseUser.
type EraseBatch struct {
	// Changed lists the incidents in which the user was replaced, with their present
	// versions. It must not list an incident only because the error of a parked notification
	// became empty.
	Changed []IncidentVersion

	// Next is the identifier of the last visited incident. 0 if there is none after it.
	Next int64
}

// DeleteBatch is the outcome of [RetentionStore] DeleteOrganization.
type DeleteBatch struct {
	// Deleted lists the deleted incidents, as in [PurgeBatch].
	Deleted []IncidentVersion

	// Done reports that nothing of the organization is left.
	Done bool
}

// TaskLease is the outcome of [RetentionStore] Lease.
type TaskLease struct {
	// Wait is how long another holder has the right. 0 if the caller has it.
	Wait time.Duration

	// Now is the time of the shared clock.
	Now time.Time
}
