package incident

import (
	"strconv"
	"time"
)

// Stats is what a [Manager] has done since [New], and how it is. Its counters only
// grow. They are read one after the other, while calls go on.
type Stats struct {
	// Running reports whether [Manager.Run] is running.
	Running bool

	// CacheHits counts look-ups that the cache answered, and CacheMisses those that
	// it could not, or not at that moment because the entry was being written.
	CacheHits, CacheMisses uint64

	// CacheBypassed counts look-ups that were not made, because what other processes
	// write was not known: see [FeedStats].
	CacheBypassed uint64

	// StaleDrops counts what was kept out of the cache, or put out of it, because
	// something newer had been written or read.
	StaleDrops uint64

	// LoadsShared counts the calls which the read of the store of another call
	// answered too.
	LoadsShared uint64

	// Conflicts counts how often a write was decided again because another writer
	// was faster.
	Conflicts uint64

	// Feed is how the changes of other processes are followed.
	Feed FeedStats

	// Notifications is how they are delivered, of a Manager that has a [Notifier].
	Notifications NotificationStats
}

// NotificationStats is what a [Manager] has delivered, and what there is to deliver.
type NotificationStats struct {
	// Delivered, Failed and GivenUp count the attempts of this process: those that
	// succeeded, those that did not, and those of Failed after which the notification was
	// parked.
	Delivered, Failed, GivenUp uint64

	// Backlog is what all processes have to deliver. Manager.Run counts it every 15 s: it
	// is of BacklogAge ago. Both are zero before.
	Backlog    Backlog
	BacklogAge time.Duration
}

// FeedStats is how a [Manager] follows the changes of other processes.
type FeedStats struct {
	State FeedState

	// Lag is how long ago the changes were asked for that are known now, which is how
	// old an answer of the cache can be. 0 while nothing is served from the cache, as
	// while the feed sleeps, and where there is nothing to follow.
	Lag time.Duration

	// Told counts the versions of incidents and slots that the feed has told.
	Told uint64

	// Resets counts how often the cache began anew, because what had changed since the
	// last answer could not be told. See [FeedChanges.Reset].
	Resets uint64
}

// FeedState says whether a [Manager] knows what other processes write.
type FeedState int

// The states of a feed.
const (
	// FeedNone is that of a Manager which has nothing to follow: the store is not
	// shared or has no feed, or there is no cache.
	FeedNone FeedState = iota
	// FeedStopped means that [Manager.Run] is not running. The cache is bypassed.
	FeedStopped
	// FeedLost means that Run does not know what others have written of late: it has
	// only begun, or the store does not answer. The cache is bypassed.
	FeedLost
	// FeedFollowing means that the changes are known, and that the cache is served.
	FeedFollowing
	// FeedAsleep means that nobody has read for a second, so that the changes are not
	// asked for. The next read asks the store and wakes the feed. It is as healthy as
	// FeedFollowing.
	FeedAsleep
)

func (s FeedState) String() string {
	switch s {
	case FeedNone:
		return "none"
	case FeedStopped:
		return "stopped"
	case FeedLost:
		return "lost"
	case FeedFollowing:
		return "following"
	case FeedAsleep:
		return "asleep"
	}
	return "FeedState(" + strconv.Itoa(int(s)) + ")"
}
