package incident

import (
	"strconv"
	"time"
)

// Stats describes the work of a [Manager] since [New], and its state. Counters only grow. They
// are read one after the other during concurrent calls, so that they may be of slightly
// different moments.
type Stats struct {
	// Running reports whether [Manager.Run] is running.
	Running bool

	// CacheHits counts the look-ups that the cache answered. CacheMisses counts the
	// look-ups that it did not answer, because it had no entry or a write of the entry was
	// in progress.
	CacheHits, CacheMisses uint64

	// CacheBypassed counts the look-ups that were not made, because the writes of other
	// processes were not known: see [FeedStats].
	CacheBypassed uint64

	// StaleDrops counts the entries that were removed from the cache or not stored,
	// because a newer version had been written or read.
	StaleDrops uint64

	// LoadsShared counts the calls that another call's read of the store answered.
	LoadsShared uint64

	// Conflicts counts the writes that were decided again, because another writer was
	// faster.
	Conflicts uint64

	// Feed describes how the Manager follows the writes of other processes.
	Feed FeedStats

	// Notifications describes the delivery of notifications to [Options.Notifier]. Zero
	// without a Notifier.
	Notifications NotificationStats

	// Notifiers describes the delivery to each of [Options.Notifiers]. Nil without any.
	Notifiers map[string]NotificationStats

	// Abandoned counts what waits for notifiers that are not in the options of this Manager,
	// by name, as of the last count of Run, which counts every 15 s, and every minute if there
	// are no notifiers in the options. Nil if there is nothing. See [NotificationManager.Discard].
	Abandoned map[string]Backlog

	// Retention describes what Run deletes by [Options.Retention].
	Retention RetentionStats
}

// RetentionStats describes what [Manager.Run] of this process deletes by [Options.Retention]. Of
// several processes, one works at a time, so that the numbers of the others stand still.
type RetentionStats struct {
	// Purged counts the deleted incidents.
	Purged uint64

	// Passes counts the complete passes over all organizations.
	Passes uint64

	// Held is the number of incidents that the last complete pass has held back: see
	// [Purged]. PassAge is how long ago that pass ended. Both are 0 before the first.
	Held    int
	PassAge time.Duration
}

// NotificationStats describes the delivery of notifications.
type NotificationStats struct {
	// Delivered counts the successful attempts of this process, Failed its failed
	// attempts, and GivenUp the failed attempts that were the last: the notification was
	// parked. An attempt is counted once the store has settled its claim, so that a
	// notification is parked before GivenUp counts it. There are two exceptions:
	//
	//   - An attempt is counted, too, if the store ignores its outcome, because the lease
	//     has expired and the notification was claimed again.
	//   - If Run ends while the store fails, the outcomes of the last attempts are lost.
	//     These attempts are not counted, and are repeated.
	Delivered, Failed, GivenUp uint64

	// Backlog counts the notifications of all processes, as of BacklogAge ago.
	// [Manager.Run] updates it every 15 s. Both are zero before the first update.
	Backlog    Backlog
	BacklogAge time.Duration
}

// FeedStats describes how a [Manager] follows the writes of other processes.
type FeedStats struct {
	State FeedState

	// Lag bounds how outdated an answer of the cache can be: the time since the latest
	// known changes were requested. 0 while the cache is not served.
	Lag time.Duration

	// Told counts the versions of incidents and slots that the feed has reported.
	Told uint64

	// Resets counts how often the cache was dropped:
	//
	//   - The changes since the last answer were not known. See [FeedChanges.Reset].
	//   - An organization was deleted.
	//   - A deletion failed, and may have done a part of its work.
	Resets uint64
}

// FeedState tells whether a [Manager] knows the writes of other processes.
type FeedState int

// The states of a feed.
const (
	// FeedNone means that there is no feed: the store is not shared or is no [FeedStore],
	// or there is neither a cache nor a Watch in progress.
	FeedNone FeedState = iota
	// FeedStopped means that [Manager.Run] is not running. The cache is bypassed.
	FeedStopped
	// FeedLost means that the recent writes are not known: Run has only just begun, or the
	// store does not answer. The cache is bypassed.
	FeedLost
	// FeedFollowing means that the writes are known. The cache is served.
	FeedFollowing
	// FeedAsleep means that no call has read for a second and none watches, so that Run
	// does not ask for changes. The next read asks the store and wakes the feed. It is as healthy as
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
