package incident

import (
	"context"
	"time"
)

// FeedStore is a shared [Store] that reports the writes of all processes. Its [Manager] serves
// reads from the cache while [Manager.Run] follows the feed. A Manager of a shared store
// without a feed reads everything from the store. RunFeed of package storetest proves a new
// feed.
type FeedStore interface {
	Store

	// Changes returns the versions that were committed after since, and no others, with
	// the position for the next call. It must also return an incident if a comment was
	// appended to it or revised after since, which leaves the version as it is. The
	// position is a moment between call and return. A [RetentionStore] returns its deleted
	// incidents, too.
	// The next call must report everything that commits after that moment, in whatever
	// order the transactions began. Changes that are up to a second old may be repeated,
	// and a version may be reported after it has changed again. For the zero position,
	// Changes returns only a position.
	//
	// A position must remain valid for any number of calls, since an answer can be lost,
	// and for [FeedMemory]. If the changes after a position are not known, Changes must
	// return [FeedChanges.Reset] and no error. This is the case if
	//
	//   - the position is not in the history of the store: the server was restored from a
	//     backup, crashed and lost commits, or was replaced by a standby that lacks
	//     commits;
	//   - the position is in the future, or malformed;
	//   - the store has forgotten the changes, or there are too many.
	//
	// Each process calls Changes up to 25 times a second while its Manager is in use or
	// watched, and not at all otherwise. It does not call it in a transaction.
	Changes(ctx context.Context, since FeedPosition) (FeedChanges, error)
}

// FeedMemory is how long a [FeedStore] must know the changes after a position. A [Manager] that
// has not asked for longer begins again with the zero position.
const FeedMemory = 10 * time.Minute

// FeedPosition is a moment in the history of a [FeedStore]. Only the store can interpret it.
type FeedPosition string

// FeedChanges lists the changed incidents and slots of all organizations.
type FeedChanges struct {
	Incidents []IncidentVersion
	Slots     []SlotVersion
	Position  FeedPosition

	// Reset reports that the changes after the given position are not known. Position is
	// then the answer to the zero position, and Incidents and Slots are ignored. The
	// [Manager] no longer serves the present entries of its cache, and its watchers
	// receive a Resync.
	Reset bool
}

// IncidentVersion identifies a state of an incident and its activities.
type IncidentVersion struct {
	Key Key

	// Version is the [Incident.Version].
	Version int64

	// Activities is the sequence of the last activity.
	Activities int64
}
