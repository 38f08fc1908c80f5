package incident

import (
	"context"
	"slices"
	"time"
)

// Store persists the decisions of a [Manager]. It applies no rule: it validates nothing, reads
// no clock, and generates no identifiers except [Incident.Identifier], [Activity.Sequence] and
// the versions of slots. Package storetest proves a new store: it has a case for each "must" in
// this comment and on the methods.
//
// For all methods:
//
//   - A Store must be safe for concurrent use. Each method must be atomic and
//     linearizable: it takes effect as a whole, at one moment between call and return, or
//     not at all.
//   - A Store must not retain memory of its arguments, and its results must belong to the
//     caller.
//   - If the context has ended before the call, a method must return the context's error
//     and do nothing.
//   - Times are in time.UTC and whole microseconds, and must be returned such that == holds.
//     Texts must be returned byte for byte, and identifiers must be compared byte for byte.
//   - A method must not read or change records of an organization that it does not name.
//     They must look as if they did not exist.
//   - Errors match [ErrNotFound], [ErrVersionConflict], [*ConflictError], [ErrConflict],
//     [ErrUnavailable], [ErrUnknownOutcome] or the context's error. If the error is not
//     ErrUnknownOutcome, the call must have written nothing; if it is nil, the call must
//     have written everything, durably. If a write succeeds after its context has ended,
//     and cancelling it may have weakened the commit, the method returns ErrUnknownOutcome
//     joined with the context's error.
//
// The optional contracts are [LocalStore], [FeedStore], [OutboxStore], [UsedOutbox],
// [ReportStore], [RetentionStore] and [JoinedStore]. A Manager looks for each of them in its
// store. If a store does not implement a contract and has a method Unwrap() Store, the Manager
// continues with the result of Unwrap. So a wrapper, for example for metrics, needs only the
// methods of Store and Unwrap. Its InTx must wrap the store of the transaction, too. Calls of
// contracts that the wrapper does not implement bypass it. A wrapper without Unwrap hides the
// contracts of the store within.
type Store interface {
	IncidentStore
	ActivityStore
	SeenStore
	SubscriptionStore

	// InTx runs fn in a transaction, and commits the writes of tx if fn returns nil. It
	// must undo them if fn returns an error, panics or exits its goroutine, and if ctx
	// ends before the commit. It returns fn's error unchanged.
	//
	// Reads of tx see its own writes. Nobody else may see them before the commit. States
	// that Load of tx has returned must not change before the end of the transaction,
	// except by tx; otherwise a write of tx, or InTx, returns [ErrVersionConflict]. tx is
	// for one goroutine, and returns an error to every call after fn has returned. Its
	// own InTx runs in the same transaction. If the function of that InTx panics or
	// exits its goroutine, the whole transaction must fail, even if fn recovers and
	// returns nil: InTx must then undo all writes and return an error.
	//
	// fn must return an error if a method of tx, including InTx, returned an error other
	// than ErrNotFound and ErrVersionConflict. fn must not call the store itself: a
	// store may make other callers wait until the transaction ends, or until their
	// contexts end.
	//
	// An error that is [ErrUnavailable] because of concurrent writers, as after a deadlock,
	// should have a method Disturbed() bool that returns true: a [Manager] then repeats a
	// transaction of its own.
	InTx(ctx context.Context, fn func(tx Store) error) error

	// Shared reports whether other processes may write to the same data. The result is
	// constant. A [Manager] caches the data of a shared store only while it follows the
	// writes of other processes: see [FeedStore].
	Shared() bool
}

// LocalStore is a [Store] whose reads cost no more than a cache hit, because they are reads
// of the process's own memory. A [Manager] reads it directly in writes and to find the active
// incident of a slot. Only reads of single incidents use the cache.
type LocalStore interface {
	Store

	// Local reports whether reads are local. The result is constant.
	Local() bool
}

// State is an incident with its triggers, in order of TriggerID. Rules decide on it, and the
// cache keeps it. [Incident.Version] counts its changes.
type State struct {
	Incident Incident  `json:"incident"`
	Triggers []Trigger `json:"triggers"`

	// WriteID is of the write that made the version. 0 if the store does not tell.
	WriteID WriteID `json:"writeId,omitzero"`
}

// WriteID tells apart two writes that made the same version of an incident, in a store that fell back
// to earlier data, as in an asynchronous failover. A store gives each write of an incident's row a
// random number, or does without.
type WriteID int64

func (s *State) clone() *State {
	return &State{Incident: s.Incident.Clone(), Triggers: slices.Clone(s.Triggers), WriteID: s.WriteID}
}

// Change is the write of a call. A store writes all of it or nothing.
type Change struct {
	// Key names the incident. Identifier 0 creates an incident with the next identifier
	// of the organization.
	Key Key

	// Incident is the new row, with its new Version and Projects. Nil leaves the row
	// unchanged. It is never nil for a new incident: the store then sets the Identifier
	// in the row, Activities, Triggers and Subscriptions that it writes and returns, but
	// not in the caller's Change.
	Incident *Incident

	// ExpectVersion is the version that the stored row must have. It is ignored if
	// Incident is nil or new.
	//
	// The PreviousValue of the first status change in Activities, if any, is the status of
	// that row. A store that can fall back to earlier data, as in an asynchronous failover,
	// may refuse another status with [ErrVersionConflict], too.
	ExpectVersion int64

	// ExpectWrite is the [State.WriteID] with ExpectVersion. A store with WriteIDs returns
	// [ErrVersionConflict] if the stored row has another. 0 permits any.
	ExpectWrite WriteID

	// ExpectSlot is the version that a slot of Claim must have. Nil permits any.
	ExpectSlot *SlotVersion

	// StartedBefore is the DateStarted of the stored row. Zero if Incident is nil or new.
	StartedBefore time.Time

	// Link and Unlink are the differences between Incident.Projects and the stored
	// projects. A new incident has no stored projects.
	Link, Unlink []ProjectID

	// AddLabels and RemoveLabels are the differences between Incident.Labels and the
	// stored labels, in order of name. A new incident has no stored labels. A label with
	// another value is in both.
	AddLabels, RemoveLabels []Label

	// Activities are appended in this order, with the next sequences.
	Activities []Activity

	// Notify lists the notifiers for which the activities are queued, in order of name. Each
	// wants at least one of the activities. See [OutboxStore]; other stores ignore it.
	Notify []NotifyTarget

	// Leases claims the queues of a new incident in the same commit: each notifier of Notify
	// has the duration with the same index, which is the lease. 0 leaves a queue unclaimed.
	// Nil for none. A store may ignore Leases; in a transaction it must. See [Applied.Fence].
	Leases []time.Duration

	// EndReminders deletes the pending reminders of the incident, also if they are claimed
	// or replayed. See [OutboxStore]; other stores ignore it.
	EndReminders bool

	// Triggers are inserted, or replace the triggers with the same TriggerID.
	Triggers []Trigger

	// Subscriptions are added, except those of users who are subscribed already.
	Subscriptions []Subscription

	// Claim and Release are the slots that the incident begins and ceases to occupy.
	Claim, Release []Slot
}

// Applied is the outcome of a [Change].
type Applied struct {
	// Replayed reports that nothing was written, because an earlier change had the same
	// DetectionUUID or NotificationUUID.
	Replayed bool

	// Incident is the row after the change, or the current row if the change was
	// replayed. Zero if the change has no Incident and was not replayed.
	Incident Incident

	// WriteID is the new [State.WriteID]. 0 if the store does not tell, if the change has no
	// Incident, or if it was replayed.
	WriteID WriteID

	// Sequence is the sequence of the change's first activity; the others follow it. 0
	// if the change has no activities or was replayed.
	Sequence int64

	// Fence is the [Ticket] Fence of the claims that Leases has asked for. Each claim has all
	// activities that its notifier wants, and Attempt 1; its Sequence is that of the first.
	// 0 if the queues are not claimed.
	Fence int64

	// Activity is the stored activity with the NotificationUUID of a replayed change.
	// Nil if the change was not replayed, or was recognized by its DetectionUUID.
	Activity *Activity

	// Slots are the claimed and released slots with their new versions. Empty if the
	// change was replayed.
	Slots []SlotVersion
}
