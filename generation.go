package incident

import (
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

// distrust moves a publication to the present generation, in which it publishes nothing:
// all of its keys are in doubt.
func (p *publication) distrust() {
	p.g = p.c.generation.Load()
	for _, e := range p.entries {
		p.mark(mark{key: e.key})
	}
	p.doubtful, p.distrusted = true, true
}
