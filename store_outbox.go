package incident

import (
	"context"
	"time"
)

// OutboxStore is what a [Store] is in addition if it keeps which activities are still to
// be delivered. RunOutbox of package storetest is the proof of a new one.
//
// Each incident has a queue: the activities of the changes that say [Change.Notify], in
// order of Sequence. What a change that does not has appended between two that do may be
// in it too. Who claims a queue gets its oldest activity, and nobody else gets
// any of that queue until the claim is settled or its lease is over. What is queued
// behind others does not change when the queue is due. Leases and delays are counted by
// one clock, which all processes share. A notification that was parked leaves the queue,
// and is a queue of its own when it is replayed.
//
// What is claimed and settled is not a part of a transaction: only Parked and Replay are
// called on the Store of InTx, which must be an OutboxStore too.
type OutboxStore interface {
	Store

	// Claim claims at most c.Limit queues which are due: those that are not claimed, and
	// whose delay is over. It must not give two callers the same one. Of each
	// organization it claims the longest due first, and at most c.PerOrganization or,
	// where c.Allowances has the organization, that many. It goes through the
	// organizations in ascending order from behind c.After, none twice, and leaves out
	// c.Except. The answer is in no order.
	//
	// Queues that are not due must cost a claim nothing, however many they are.
	//
	// Queues that a transaction of others is about to change may be passed over.
	Claim(ctx context.Context, c ClaimQuery) ([]Claim, error)

	// Settle ends claims, each as it says, and returns the places of those that it could
	// not end now because others are at work on the queue: they may be settled again. One
	// that is not valid any more, because its lease was over and somebody has claimed the
	// queue since or because it was settled before, must be ignored. One whose lease is
	// over is valid as long as nobody has.
	Settle(ctx context.Context, all []Settlement) (busy []int, err error)

	// Backlog counts what is to be delivered, in all organizations, also what is claimed or
	// delayed.
	Backlog(ctx context.Context) (Backlog, error)

	// Parked returns at most q.Limit parked notifications of an organization, in order of
	// identifier and sequence, from behind q's place.
	Parked(ctx context.Context, q ParkedQuery) ([]ParkedNotification, error)

	// Replay makes the parked notifications of an incident due, each as a queue of its
	// own, and returns how many there are. Their attempts begin anew. It must return
	// [ErrNotFound] if the incident does not exist.
	Replay(ctx context.Context, key Key) (int, error)
}

// UsedOutbox is what an [OutboxStore] is in addition if it can tell whether it is used as
// one. A [Manager] without a [Notifier] warns then that it queues nothing.
type UsedOutbox interface {
	OutboxStore

	// Queued reports whether this process has applied a change with [Change.Notify], through
	// this Store or one that shares its data and its pool.
	Queued() bool
}

// ClaimQuery is what [OutboxStore] Claim is asked for.
type ClaimQuery struct {
	Limit           int // at least 1
	PerOrganization int // at least 1

	// Allowances are the organizations that get another part than PerOrganization, each
	// at least 1. Nil for none.
	Allowances map[OrganizationID]int

	// Except are the organizations that get nothing.
	Except []OrganizationID

	After OrganizationID // empty for the first

	// Lease is how long the claim is valid.
	Lease time.Duration
}

// Claim is an activity that somebody delivers, with all that this takes, as of one
// moment after its commit.
type Claim struct {
	Ticket
	Activity    Activity
	Incident    Incident
	Subscribers []UserID // in ascending order

	// Attempt counts the claims of this notification since it was queued or replayed,
	// but for those that were released, from 1.
	Attempt int
}

// Ticket says which queue was claimed, and by whom.
type Ticket struct {
	Key      Key
	Sequence int64 // of the activity
	Replayed bool  // the queue is that of a notification which was parked

	// Fence distinguishes the claims of one notification, those from before it was parked
	// and replayed too.
	Fence int64

	// More means that more was queued behind the activity when it was claimed.
	More bool
}

// Settlement is how a claim ends.
type Settlement struct {
	Ticket
	Outcome Outcome

	// After is the delay until the queue is due again, of OutcomeRetry.
	After time.Duration

	// Error says why, of OutcomePark: at most [MaxParkedError] bytes.
	Error string
}

// Outcome is what became of a claim.
type Outcome int

// The outcomes of a claim.
const (
	// OutcomeDelivered lets the queue go on with the next activity, which is due at once.
	OutcomeDelivered Outcome = iota + 1
	// OutcomeRetry has the same activity be due again after a delay.
	OutcomeRetry
	// OutcomeRelease has it be due at once, as if it had not been claimed.
	OutcomeRelease
	// OutcomePark parks it, with its attempts and the date, and lets the queue go on.
	OutcomePark
)

// Backlog is what is to be delivered.
type Backlog struct {
	// Pending counts the notifications that are to be delivered, and Parked those that
	// were given up.
	Pending, Parked int64

	// Oldest is for how long the one that has waited longest at the head of its queue has
	// done so. 0 if none is pending.
	Oldest time.Duration
}

// ParkedQuery is a [ParkedFilter] as a [Store] gets it.
type ParkedQuery struct {
	OrganizationID OrganizationID

	// AfterIdentifier and AfterSequence are the place that the page starts behind.
	AfterIdentifier, AfterSequence int64

	Limit int // the most that may be returned, 1 to 101
}
