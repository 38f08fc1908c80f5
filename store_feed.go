package incident

import (
	"context"
	"time"
)

// FeedStore is a shared [Store] that can tell what other processes have written. A
// [Manager] of it serves from its cache while [Manager.Run] follows them; a Manager of a
// shared store without a feed reads everything from the store. RunFeed of package
// storetest is the proof of a new feed.
type FeedStore interface {
	Store

	// Changes returns what was committed since a position, and nothing else, and the
	// position to pass to the next call: that of a moment between call and return.
	// Everything that commits after that moment must be told by the next call, in
	// whatever order transactions began. Telling a change again does no harm for up to a
	// second, nor does telling a version that has changed again since. The zero position
	// returns a position alone.
	//
	// A position must stay good for any number of calls, since an answer can be lost, and
	// for [FeedMemory]. If the changes since a position cannot be told, Changes must
	// answer with [FeedChanges.Reset] instead of an error. This is so if
	//
	//   - what the position refers to is not in the history of the store: the server
	//     was restored from a backup, crashed and lost commits, or was replaced by a
	//     standby that lacks some;
	//   - the position is of the future, or of another form than the store's own;
	//   - the store has forgotten the changes, or there are too many of them.
	//
	// Changes is called up to 25 times a second while the Manager is in use, not at all
	// otherwise, and not within a transaction. Each process follows on its own.
	Changes(ctx context.Context, since FeedPosition) (FeedChanges, error)
}

// FeedMemory is how long a [FeedStore] must be able to tell what has changed since a
// position. A [Manager] that has not asked for longer begins anew with the zero position.
const FeedMemory = 10 * time.Minute

// FeedPosition is a moment in what a [FeedStore] has committed. It means something to
// the store alone.
type FeedPosition string

// FeedChanges are the incidents whose version has changed, and the slots, of all
// organizations.
type FeedChanges struct {
	Incidents []IncidentVersion
	Slots     []SlotVersion
	Position  FeedPosition

	// Reset reports that the changes since the position that was asked for cannot be
	// told. Incidents and Slots are not looked at then, Position is that of an answer to
	// the zero position, and the [Manager] serves nothing that it has cached so far.
	Reset bool
}

// IncidentVersion is an incident's version after a change.
type IncidentVersion struct {
	Key     Key
	Version int64
}
