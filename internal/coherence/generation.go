package coherence

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"
)

// generation is the set of cache entries that an Engine may serve at a time.
//
// The problem: a server that was restored from a backup, or a standby that lacks the last
// commits, takes the store back in time. The store then counts the same versions again, and a
// high version no longer means a current entry. All entries must end at once, but a [Cache]
// cannot list or delete its keys.
//
// So the keys of a generation end with a suffix that no other generation of any Engine has.
// Beginning another generation changes the suffix: all entries are out of service at once,
// and two Engines with the same cache never read each other's entries.
//
// Loads and publications keep the generation in which they began. When it has ended, they
// leave no value in the next generation, because a write that the old server acknowledged may be
// unknown to the new server:
//
//   - A load does not fill the cache.
//   - The keys of a publication are in doubt.
//   - A value that is stored during the change gets the old suffix, where nobody finds it.
type generation struct {
	suffix string
}

// generations numbers the generations of all Engines of the process.
var generations atomic.Uint64

// beginGeneration begins a generation, and ends the present one.
func (c *Engine) beginGeneration() {
	suffix := "@" + strconv.FormatUint(generations.Add(1), 36) // short, since each look-up copies it
	if c.config.Memory == nil {
		suffix = "@" + uuid.NewString() // the cache may outlive the process
	}
	c.generation.Store(&generation{suffix: suffix})
}

// StartOver begins a generation, and logs the reason. The caller knows that entries are outdated,
// and not which.
func (c *Engine) StartOver(ctx context.Context, reason string) {
	c.startOver()
	c.counters.resets.Add(1)
	if !c.off.Load() {
		c.config.Logger.InfoContext(ctx, "incident: the cache starts over", "reason", reason)
	}
}

// startOver begins a generation because changes of the store are not known.
func (c *Engine) startOver() {
	c.beginGeneration()
	if c.config.StartedOver != nil {
		c.config.StartedOver()
	}
}

// CheckHistory compares a version of key that was read from the store with the entry in the
// cache. If the entry is newer, and nothing was published since the read began at epoch, the
// store has lost commits: a new generation begins. Version 0 stands for a row that does not
// exist. It is not compared during a [Deletion].
//
// It does nothing where a [Feed] is followed, since the feed reports such a loss.
func (c *Engine) CheckHistory(ctx context.Context, key string, version int64, began Epoch) {
	if c.followed || c.off.Load() || version == 0 && c.deleting.Load() > 0 {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing.Load() > 0 || s.epoch > uint64(began) {
		return // the version may be that before a write
	}
	g := c.generation.Load()
	if e, ok := c.lookup(ctx, key+g.suffix); ok && e.Version != math.MaxInt64 && e.Version > version {
		c.startOver()
		c.counters.resets.Add(1)
		c.config.Logger.WarnContext(ctx, "incident: the store has lost what it had; the cache starts over", "version", version, "cached", e.Version)
	}
}

// ChecksHistory reports whether CheckHistory may do anything, so that a caller can spare
// building the key.
func (c *Engine) ChecksHistory() bool { return !c.followed && !c.off.Load() }
