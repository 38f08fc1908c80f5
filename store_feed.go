package incident

import (
	"context"
	"time"
)

// FeedStore is a shared [Store] that reports the writes of other processes. Its [Manager]
// serves from the cache while [Manager.Run] follows them. The Manager of a shared store
// without a feed reads everything from the store. RunFeed of package storetest tests a feed.
type FeedStore interface {
	Store

	// Changes returns the versions committed after since, and the position to pass to the
	// next call. The position is that of a moment between call and return. The next call
	// must report everything committed after that moment, whatever the order in which
	// transactions began. It may repeat a change for up to a second, and it may report a
	// version that has changed again since. An empty since returns only a position.
	//
	// A position must remain valid for any number of calls, since an answer can be lost,
	// and for [FeedMemory]. Changes must set [FeedChanges.Reset] instead of returning an
	// error if it cannot report the changes, because
	//
	//   - the history of the store does not contain the position: the server was restored
	//     from a backup, crashed and lost commits, or was replaced by a standby that lacks
	//     some;
	//   - the position is in the future, or not in the format of the store;
	//   - the store has forgotten the changes, or there are too many.
	//
	// The Manager calls Changes up to 25 times a second while it is in use, and never within
	// a transaction. A Manager that is not in use does not call it. Each process follows
	// the feed on its own.
	Changes(ctx context.Context, since FeedPosition) (FeedChanges, error)
}

// FeedMemory is how long a [FeedStore] must remember the changes since a position. A [Manager]
// that has not asked for longer starts over with an empty position.
const FeedMemory = 10 * time.Minute

// FeedPosition is a moment in the history of a [FeedStore], in a format of the store. Empty
// means that there is none yet.
type FeedPosition string

// FeedChanges are the changed incidents and slots of all organizations.
type FeedChanges struct {
	Incidents []IncidentVersion
	Slots     []SlotVersion
	Position  FeedPosition

	// Reset means that the changes since the requested position are not known. Position is
	// then that of an answer to an empty position, Incidents and Slots are ignored, and the
	// [Manager] serves none of the entries that it has cached so far.
	Reset bool
}

// IncidentVersion is an incident's version after a change.
type IncidentVersion struct {
	Key     Key
	Version int64
}
