package incident

import (
	"context"
	"time"
)

// OutboxStore is a [Store] that also queues activities for delivery. RunOutbox of package
// storetest proves a new outbox.
//
//   - Each incident has a queue: the activities of changes with [Change.Notify] set, in order
//     of Sequence. Activities that other changes append in between may be queued too.
//   - A claim takes the oldest activity of a queue. Nobody else can claim the queue until the
//     claim is settled or its lease expires.
//   - Appending to a queue does not change when the queue is due.
//   - Leases and delays are measured by one clock, which all processes share.
//   - A parked notification leaves the queue. Replaying makes it a queue of its own.
//
// Claim, Settle and Backlog are not called in a transaction. Parked and Replay are, so that
// the Store of InTx must be an OutboxStore too.
type OutboxStore interface {
	Store

	// Claim claims at most c.Limit due queues. A queue is due if it is not claimed and its
	// delay has passed. Claim must not give the same queue to two callers.
	//
	// Claim visits the organizations in ascending order, beginning after c.After, each at
	// most once, and skips c.Except. From each organization it takes the longest due
	// queues: at most c.PerOrganization, or the number in c.Allowances if it has the
	// organization. The claims are returned in any order.
	//
	// Queues that are not due must not slow down a claim, however many there are. Claim
	// may skip queues that another transaction is changing.
	Claim(ctx context.Context, c ClaimQuery) ([]Claim, error)

	// Settle ends claims, each with its Outcome. It returns the indexes of the settlements
	// that must be repeated, because another transaction was changing their queues.
	//
	// It must ignore a ticket that was settled before, or whose lease has expired and
	// whose queue was claimed again. An expired lease alone does not invalidate a ticket.
	Settle(ctx context.Context, all []Settlement) (busy []int, err error)

	// Backlog counts the notifications of all organizations, including claimed and delayed
	// notifications.
	Backlog(ctx context.Context) (Backlog, error)

	// Parked returns at most q.Limit parked notifications of an organization after the
	// position of q, in order of identifier, then sequence.
	Parked(ctx context.Context, q ParkedQuery) ([]ParkedNotification, error)

	// Replay makes each parked notification of the incident a queue of its own, due at
	// once, with Attempt counted from the beginning. It returns their number. It must
	// return [ErrNotFound] if the incident does not exist.
	Replay(ctx context.Context, key Key) (int, error)
}

// UsedOutbox is an [OutboxStore] that knows whether activities were queued in it. If so, a
// [Manager] without a [Notifier] logs a warning, since its own activities are not queued.
type UsedOutbox interface {
	OutboxStore

	// Queued reports whether this process has applied a change with [Change.Notify] set,
	// through this Store or another one with the same data and connection pool.
	Queued() bool
}

// ClaimQuery holds the parameters of [OutboxStore] Claim.
type ClaimQuery struct {
	Limit           int // at least 1
	PerOrganization int // at least 1

	// Allowances overrides PerOrganization for some organizations. Each is at least 1.
	// Nil for none.
	Allowances map[OrganizationID]int

	// Except lists the organizations to skip.
	Except []OrganizationID

	After OrganizationID // empty to begin with the first organization

	// Lease is how long the claim excludes others.
	Lease time.Duration
}

// Claim is a claimed activity with the data for its delivery, which are of one moment after
// the activity's commit.
type Claim struct {
	Ticket
	Activity    Activity
	Incident    Incident
	Subscribers []UserID // in ascending order

	// Attempt counts the claims of the notification since it was queued or replayed, from
	// 1, except released claims.
	Attempt int
}

// Ticket identifies a claim of a queue.
type Ticket struct {
	Key      Key
	Sequence int64 // of the activity
	Replayed bool  // the queue is a replayed notification

	// Fence distinguishes all claims of one notification, including claims before it was
	// parked and replayed.
	Fence int64

	// More reports that the queue held further activities at the time of the claim.
	More bool
}

// Settlement is the end of a claim.
type Settlement struct {
	Ticket
	Outcome Outcome

	// After is the delay until the queue is due again. For OutcomeRetry only.
	After time.Duration

	// Error is the reason, at most [MaxParkedError] bytes. For OutcomePark only.
	Error string
}

// Outcome is the outcome of a claim.
type Outcome int

// The outcomes of a claim.
const (
	// OutcomeDelivered removes the activity; the next activity of the queue is due at once.
	OutcomeDelivered Outcome = iota + 1
	// OutcomeRetry makes the activity due again after a delay.
	OutcomeRetry
	// OutcomeRelease makes the activity due at once, as if it had not been claimed.
	OutcomeRelease
	// OutcomePark parks the activity with its attempts, the error and the date; the next
	// activity of the queue is due at once.
	OutcomePark
)

// Backlog counts the notifications that were not delivered.
type Backlog struct {
	// Pending counts the notifications that are to be delivered, Parked those that were
	// given up.
	Pending, Parked int64

	// Oldest is how long the longest-waiting notification has been at the head of its
	// queue. 0 if none is pending.
	Oldest time.Duration
}

// ParkedQuery is a [ParkedFilter] as a [Store] receives it.
type ParkedQuery struct {
	OrganizationID OrganizationID

	// AfterIdentifier and AfterSequence are the position after which the page begins.
	AfterIdentifier, AfterSequence int64

	Limit int // 1 to MaxPageSize + 1
}
