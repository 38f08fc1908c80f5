package incident

import (
	"context"
	"slices"
	"time"
)

// OutboxStore is a [Store] that also queues activities for delivery, and keeps reminders.
// RunOutbox of package storetest proves a new outbox.
//
//   - Each incident has a queue for each notifier: the activities of changes with a
//     [NotifyTarget] of that notifier, in order of Sequence. Activities of the wanted types
//     that other changes append in between may be queued too.
//   - A reminder is a queue of its own, with a single element that is due at its At.
//   - A claim takes the oldest activity of a queue, or the reminder. Nobody else can claim the
//     queue until the claim is settled or its lease expires.
//   - Appending to a queue does not change when the queue is due.
//   - Leases, delays and reminders are measured by the same clock, which all processes share.
//   - A parked notification leaves the queue. Replaying makes it a queue of its own.
//   - Queues of different notifiers are independent.
//
// Claim, Settle, Backlog and Discard are not called in a transaction. The other methods are, so
// that the Store of InTx must be an OutboxStore too.
type OutboxStore interface {
	Store

	// Claim claims at most c.Limit due queues of a notifier. A queue is due if it is not
	// claimed and its delay has passed. Claim must not give the same queue to two callers.
	//
	// Claim visits the organizations in ascending order, beginning after c.After, each at
	// most once, and skips c.Except. From each organization it takes the longest due
	// queues: at most c.PerOrganization, or the number in c.Allowances if it has the
	// organization. The claims are returned in any order.
	//
	// Queues that are not due, reminders among them, must not slow down a claim, however
	// many there are. Claim may skip queues that another transaction is changing.
	Claim(ctx context.Context, c ClaimQuery) ([]Claim, error)

	// Settle ends claims, each with its Outcome. It returns the indexes of the settlements
	// that must be repeated, because another transaction was changing their queues.
	//
	// It must ignore a ticket that was settled before, or whose lease has expired and
	// whose queue was claimed again, or whose reminder was set again, cancelled or ended. An
	// expired lease alone does not invalidate a ticket.
	Settle(ctx context.Context, all []Settlement) (busy []int, err error)

	// Backlog counts the notifications of all organizations by notifier, including claimed
	// and delayed notifications. A notifier without any may be missing.
	Backlog(ctx context.Context) (map[string]Backlog, error)

	// Parked returns at most q.Limit parked notifications after the position of q, in order
	// of [ParkedPosition].
	Parked(ctx context.Context, q ParkedQuery) ([]ParkedNotification, error)

	// Replay makes each of the parked notifications that Parked would return a queue of its
	// own, due at once, with Attempt counted from the beginning. It must return
	// [ErrNotFound] if q.Identifier is not 0 and does not exist.
	Replay(ctx context.Context, q ParkedQuery) (ParkedBatch, error)

	// DiscardParked deletes the parked notifications that Parked would return. It must
	// return [ErrNotFound] if q.Identifier is not 0 and does not exist.
	DiscardParked(ctx context.Context, q ParkedQuery) (ParkedBatch, error)

	// Discard deletes at most limit queues and parked notifications of a notifier in all
	// organizations, and returns the number of deleted notifications and reminders. It
	// returns 0 only if there were none. A claim of a deleted queue can no longer be
	// settled.
	Discard(ctx context.Context, notifier string, limit int) (int, error)

	// SetReminder sets a pending reminder, or replaces the pending reminder of the same name,
	// also if it is claimed: with the new UUID, unclaimed, and with Attempt counted from the
	// beginning. It changes nothing if At, Unless and Notifier are those of the pending
	// reminder. It returns false, and changes nothing, if the incident has w.Most pending
	// reminders of other names; concurrent calls may exceed that by their number.
	//
	// It must return [ErrNotFound] if the incident does not exist, and [ErrVersionConflict]
	// if it has another version than expected.
	SetReminder(ctx context.Context, w ReminderWrite) (ok bool, err error)

	// CancelReminder deletes the pending reminder of a name, also if it is claimed or
	// replayed. It must return [ErrNotFound] if the incident does not exist.
	CancelReminder(ctx context.Context, key Key, name string) error

	// Reminders returns the pending reminders of an incident in order of Name. It leaves
	// out replayed reminders. It must return [ErrNotFound] if the incident does not exist.
	Reminders(ctx context.Context, key Key) ([]Reminder, error)
}

// UsedOutbox is an [OutboxStore] that knows whether activities were queued in it. If so, a
// [Manager] without a [Notifier] logs a warning, since its own activities are not queued.
type UsedOutbox interface {
	OutboxStore

	// Queued reports whether this process has applied a change with a [NotifyTarget],
	// through this Store or another store with the same data and connection pool.
	Queued() bool
}

// NotifyTarget is a notifier for which a [Change] queues its activities.
type NotifyTarget struct {
	// Notifier is the name of the notifier. Empty for the notifier without a name.
	Notifier string

	// Types lists the types of the activities that are queued. Empty for all.
	Types []ActivityType
}

// Wants reports whether activities of a type are queued for the notifier.
func (t NotifyTarget) Wants(typ ActivityType) bool {
	return len(t.Types) == 0 || slices.Contains(t.Types, typ)
}

// ClaimQuery holds the parameters of [OutboxStore] Claim.
type ClaimQuery struct {
	// NotifyTarget names the notifier. An activity of another type than its Types may be
	// queued, if the types were others when it was written. It must not be claimed, and
	// leaves the queue.
	NotifyTarget

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
	Activity    Activity  // zero for a reminder
	Reminder    *Reminder // nil for an activity
	Incident    Incident
	Subscribers []UserID // in ascending order

	// Attempt counts the claims of the notification since it was queued or replayed, from
	// 1, except released claims. A reminder counts from 1 again when it is set again. The
	// count may include the claims of activities that left the queue since, because their
	// type is no longer wanted.
	Attempt int

	// Now is the time of the store's clock at the claim.
	Now time.Time
}

// Ticket identifies a claim of a queue.
type Ticket struct {
	Key      Key
	Notifier string
	Reminder string // the name of the reminder; empty for an activity

	// Sequence is the sequence of the activity, or the At of the reminder in microseconds
	// since 1970.
	Sequence int64

	Replayed bool // the queue is a replayed notification

	// Fence distinguishes all claims of one notification, including claims before it was
	// parked and replayed, and before the reminder was set again. In a store that can fall
	// back to earlier data, as in an asynchronous failover, it also distinguishes them from
	// lost claims of notifications at the same Sequence.
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

	// Before is the number of activities that were delivered before Sequence, in the same claim:
	// they leave the queue, and Sequence is that of a later activity. For claims that Apply
	// made, see [Change.Leases]; 0 for others.
	Before int
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

// Backlog counts the notifications of a notifier that were not delivered.
type Backlog struct {
	// Pending counts the notifications that are to be delivered, Parked those that were
	// given up. Reminders counts the reminders that are not due yet, which are in neither.
	Pending, Parked, Reminders int64

	// Oldest is how long the longest-waiting notification has been at the head of its
	// queue. 0 if none is pending.
	Oldest time.Duration
}

// ParkedPosition is a position in the order of parked notifications: by Identifier, Reminder,
// then Sequence. A notification that is parked at the position of another one of its notifier,
// parked or replayed, may replace it: a reminder that was set again for the same At.
type ParkedPosition struct {
	Identifier int64
	Reminder   string // the name of the reminder; empty for an activity

	// Sequence is the sequence of the activity, or the At of the reminder in microseconds
	// since 1970.
	Sequence int64
}

// ParkedQuery is a [ParkedFilter] or [ParkedSelection] as a [Store] receives it.
type ParkedQuery struct {
	OrganizationID OrganizationID
	Notifier       string
	Identifier     int64 // 0 for all incidents

	// After is the position after which the page begins.
	After ParkedPosition

	Limit int // at least 1
}

// ParkedBatch is the outcome of [OutboxStore] Replay and DiscardParked.
type ParkedBatch struct {
	Count int
	Last  ParkedPosition // zero if Count is 0
}

// ReminderWrite holds the parameters of [OutboxStore] SetReminder.
type ReminderWrite struct {
	Key           Key
	ExpectVersion int64 // that the incident must have
	Reminder      Reminder
	Most          int
}
