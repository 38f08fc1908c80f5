package incident

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"
)

// A generation is the set of cache entries that a Manager may serve at a time. The keys of
// its entries end with its suffix, which no other generation of any Manager has, so that
//
//   - two Managers with one cache never read each other's entries, and
//   - all entries are out of service at once when the next generation begins, in O(1) and
//     without a cache that can list or delete its keys.
//
// A generation ends when its entries may belong to a past that the store no longer has:
// the server was restored, or a standby that lacks the last commits took over. Versions
// say nothing then, since the store hands out the same numbers again.
//
// Loads and publications keep the generation in which they began. What ends in another
// one leaves no value in it, because a write that the old server acknowledged may be
// unknown to the new one: a load is dropped, and the keys of a publication are read from
// the store. A value that is stored at the moment of the change goes to the old suffix,
// where nobody finds it.
type generation struct {
	suffix string
}

// generations numbers those of all Managers of the process.
var generations atomic.Uint64

// beginGeneration ends the present generation, if there is one, and begins another.
func (c *coherence) beginGeneration() {
	suffix := "@" + strconv.FormatUint(generations.Add(1), 36) // short: a look-up copies the key
	if c.own == nil {
		suffix = "@" + uuid.NewString() // the cache may outlive the process
	}
	c.generation.Store(&generation{suffix: suffix})
}

// checkHistory begins a new generation if the store answers with an older version of a key
// than the cache holds, which was in the store before reading began: then the store has
// lost commits. Version 0 is that of what does not exist. It is for stores without a feed,
// whose only writer is this process; of others the feed tells.
func (c *coherence) checkHistory(ctx context.Context, key string, version int64, began uint64) {
	if c.followed || c.off.Load() {
		return
	}
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing.Load() > 0 || s.epoch > began {
		return // the version may be that before a write
	}
	g := c.generation.Load()
	if e, ok := c.lookup(ctx, key+g.suffix); ok && e.Version != math.MaxInt64 && e.Version > version {
		c.beginGeneration()
		c.counters.resets.Add(1)
		c.logger.WarnContext(ctx, "incident: the store has lost what it had; the cache begins anew", "version", version, "cached", e.Version)
	}
}

// distrust moves a publication to the present generation, in which it publishes nothing:
// all of its keys are in doubt.
func (p *publication) distrust() {
	p.g = p.c.generation.Load()
	for _, e := range p.entries {
		p.mark(mark{key: e.key})
	}
	p.doubtful, p.distrusted = true, true
}
