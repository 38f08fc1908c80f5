package incident

import (
	"context"
	"slices"
)

// Store persists what the [Manager] decides. It holds no rule of its own: it
// validates nothing, reads no clock and makes no identifiers but
// [Incident.Identifier], [Activity.Sequence] and the versions of slots. Each
// "must" here and on the methods is a case of the same name in package
// storetest, which is the proof of a new store.
//
// For all methods:
//
//   - A Store must be safe for use by many goroutines, and each method must be
//     atomic and linearizable: it takes effect whole, at one moment between
//     call and return, or not at all.
//   - A Store must not keep memory of its arguments, and what it returns must
//     belong to the caller.
//   - A method must return the context's error, and do nothing, when the
//     context is done before the call.
//   - Times are in time.UTC and whole microseconds, and must come back such that
//     == holds. Texts must come back byte for byte, and identifiers must be
//     compared byte for byte.
//   - No method may read or change what belongs to another organization than
//     the one that it names: that must look as if it did not exist.
//   - Errors match [ErrNotFound], [ErrVersionConflict], [*ConflictError],
//     [ErrConflict], [ErrUnavailable], [ErrUnknownOutcome] or the context's
//     error. On any but ErrUnknownOutcome nothing of the call may have been
//     written, and on nil all of it must have been, for good. A write that
//     succeeds after its context has ended returns ErrUnknownOutcome, joined with
//     the context's error, if cancelling it may have weakened the commit.
type Store interface {
	IncidentStore
	ActivityStore
	SeenStore
	SubscriptionStore

	// InTx calls fn with a Store whose reads see what was written through it,
	// and commits all of that when fn returns nil. When fn returns an error,
	// panics or exits its goroutine, or when ctx is done before the commit, InTx
	// must undo all of it; it returns fn's error as it is. Nobody else may see
	// any of it before the commit. The tx is for one goroutine, must not be used
	// after fn returned (it then answers with an error), and its own InTx runs
	// fn as a part of the same transaction. A part that panics or exits its
	// goroutine must doom the whole, also if the outer fn recovers and returns
	// nil: InTx must then undo all of it and return an error.
	//
	// fn must return an error if a method of tx, its InTx included, returned one
	// other than ErrNotFound and ErrVersionConflict. A store may make others wait
	// for the end of the transaction, or of their contexts; fn must not call the
	// store itself.
	InTx(ctx context.Context, fn func(tx Store) error) error

	// Shared reports whether other processes may write to the same data. The
	// answer is constant. What a shared store holds is served from a cache only
	// while the other processes' writes are followed: see [FeedStore].
	Shared() bool
}

// LocalStore is a [Store] that reads the process's own memory. A [Manager] asks it
// where it would ask the cache of another one, which costs the same: in writes, and
// which incident is active in a slot. Only reads of one incident go through the
// cache.
type LocalStore interface {
	Store

	// Local reports whether reads are local. The answer is constant.
	Local() bool
}

// State is what decisions are made on, and what is cached by key: an incident
// with its triggers, in order of TriggerID. [Incident.Version] counts its
// changes.
type State struct {
	Incident Incident  `json:"incident"`
	Triggers []Trigger `json:"triggers"`
}

func (s *State) clone() *State {
	return &State{Incident: s.Incident.Clone(), Triggers: slices.Clone(s.Triggers)}
}

// Change is everything that one call writes. A store writes all of it or none.
type Change struct {
	// Key names the incident. Identifier 0 makes a new one, with the next
	// identifier of its organization.
	Key Key

	// Incident is the row as it shall be, with its new Version and its
	// Projects; nil leaves the row alone. It is never nil for a new incident,
	// whose Identifier the store fills in here, in Activities, in Triggers and in
	// Subscriptions: in what it stores and returns, not in the caller's Change.
	Incident *Incident

	// ExpectVersion is the version that the stored row must have for the
	// change to apply. It counts when Incident is given and is not new.
	ExpectVersion int64

	// Link and Unlink are how Incident.Projects differs from the stored ones.
	// The stored projects of a new incident are none.
	Link, Unlink []ProjectID

	// Activities are appended in their order and get the next sequences.
	Activities []Activity

	// Notify queues the activities for delivery: see [OutboxStore]. Stores that are none
	// ignore it.
	Notify bool

	// Triggers are inserted, or replace those of the same TriggerID.
	Triggers []Trigger

	// Subscriptions are added, except for users who follow the incident.
	Subscriptions []Subscription

	// Claim and Release are the slots that the incident takes and gives up.
	Claim, Release []Slot
}

// Applied is what a [Change] did.
type Applied struct {
	// Replayed reports that nothing was written, because an earlier change with
	// the same DetectionUUID or NotificationUUID was.
	Replayed bool

	// Incident is the row after the change, or as it is now for a replayed one. It
	// is the zero Incident when a change that was not replayed has none.
	Incident Incident

	// Sequence is that of the change's first activity, which the others follow. 0
	// for a change without any, and for a replayed one.
	Sequence int64

	// Activity is, for a replayed change, the stored one of the first
	// NotificationUUID. Nil where the DetectionUUID was known instead.
	Activity *Activity

	// Slots are the claimed and released slots with their new versions. A replayed
	// change has none.
	Slots []SlotVersion
}
